//! A disk that dies at the nth operation, and what it kept of what was not yet synced.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

/// What the disk has of the writes since the last sync when the power is back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// All: only the process died.
    All,
    /// None.
    Synced,
    /// Every other one, in no order.
    Torn,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A disk in memory that fails when its operations are used up.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    synced: Vec<u8>,
    /// Writes and changes of length since the last sync.
    pending: Vec<Change>,
    now: Vec<u8>,
    /// Operations until it fails; `None` where it never does.
    pub(crate) left: Option<u64>,
    /// What its failure is called.
    pub(crate) death: Option<io::ErrorKind>,
    /// Operations so far.
    pub(crate) operations: u64,
}

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(len) => image.resize(*len, 0),
        Change::Write(offset, data) => {
            let end = offset + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*offset..end].copy_from_slice(data);
        }
    }
}

impl Disk {
    /// A disk that holds an image.
    pub(crate) fn with(image: Vec<u8>, left: Option<u64>) -> Arc<Mutex<Self>> {
        let disk = Self { synced: image.clone(), now: image, left, ..Self::default() };
        Arc::new(Mutex::new(disk))
    }

    fn spend(&mut self) -> io::Result<()> {
        self.operations += 1;
        match &mut self.left {
            Some(0) => Err(self.death.unwrap_or(io::ErrorKind::Other).into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        self.spend()?;
        apply(&mut self.now, &change);
        self.pending.push(change);
        Ok(())
    }

    /// What is there when the power is back.
    pub(crate) fn image(&self, kept: Kept) -> Vec<u8> {
        let mut image = self.synced.clone();
        let every = match kept {
            Kept::All => 1,
            Kept::Synced => return image,
            Kept::Torn => 2,
        };
        for change in self.pending.iter().skip(every - 1).step_by(every) {
            apply(&mut image, change);
        }
        image
    }
}

/// The database's way to such a disk.
#[derive(Debug, Clone)]
pub(crate) struct Dying(pub(crate) Arc<Mutex<Disk>>);

impl StorageBackend for Dying {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock();
        let offset = usize::try_from(offset).unwrap();
        let from = disk.now.get(offset..offset + out.len());
        out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().change(Change::Length(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.spend()?;
        disk.synced = disk.now.clone();
        disk.pending.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).unwrap();
        self.0.lock().change(Change::Write(offset, data.to_vec()))
    }
}
