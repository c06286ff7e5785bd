/* Moves the wall clock of one process: loaded before its libraries (LD_PRELOAD), it adds as many seconds as the file
 * that OT_TEST_CLOCK names holds now, 8 bytes in this machine's order. The monotonic clocks are left alone, as they are
 * where somebody sets the clock. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset_s;

__attribute__((constructor)) static void map_offset(void) {
    const char *path = getenv("OT_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(0, sizeof *offset_s, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) offset_s = mapped;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int done = (int)syscall(SYS_clock_gettime, clock, at);
    if (done == 0 && clock == CLOCK_REALTIME && offset_s) at->tv_sec += *offset_s;
    return done;
}
