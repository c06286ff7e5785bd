use std::os::unix::fs::PermissionsExt;

use super::*;

const CHEAP: Cost = Cost { memory_kib: 64, passes: 1 };
const CANARY: &str = "CANARY-7f3a";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn set(dir: &Path, master: &str, name: &str, text: &str) -> Result<(), SecretError> {
    edit_at(CHEAP, dir, &secret(master), |store| store.set(name, secret(text)))
}

/// A store with two secrets under `correct horse`.
fn stored() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    set(dir.path(), "correct horse", "line1", CANARY).unwrap();
    set(dir.path(), "correct horse", "qa", "p").unwrap();
    dir
}

fn read(dir: &Path, master: &str, name: &str) -> Result<Option<Secret>, SecretError> {
    let master = secret(master);
    Keyring::new(dir, Some(&master)).find(name)
}

#[test]
fn what_was_set_is_read_back_and_only_with_the_master_password() {
    let dir = stored();
    assert_eq!(read(dir.path(), "correct horse", "line1"), Ok(Some(secret(CANARY))));
    assert_eq!(read(dir.path(), "correct horse", "none"), Ok(None));
    assert_eq!(read(dir.path(), "correct horsf", "line1"), Err(SecretError::WrongPassword));
    let wrong = set(dir.path(), "correct horsf", "other", "x");
    assert_eq!(wrong, Err(SecretError::WrongPassword));
    assert_eq!(Keyring::new(dir.path(), None).find("line1"), Err(SecretError::NoMaster));
    assert_eq!(Keyring::new(dir.path(), None).find("none"), Ok(None), "names need no password");
    let names = SecretStore::find(dir.path()).unwrap().unwrap();
    assert_eq!(names.names().collect::<Vec<_>>(), ["line1", "qa"]);
}

#[test]
fn removing_and_rotating_keep_the_rest() {
    let dir = stored();
    let master = secret("correct horse");
    edit_at(CHEAP, dir.path(), &master, |store| store.remove("qa")).unwrap();
    let gone = edit_at(CHEAP, dir.path(), &master, |store| store.remove("qa"));
    assert_eq!(gone, Err(SecretError::Unknown("qa".into())));
    let empty = edit_at(CHEAP, dir.path(), &master, |store| store.rotate(&secret("")));
    assert_eq!(empty, Err(SecretError::EmptyMaster));
    assert!(read(dir.path(), "correct horse", "line1").is_ok(), "a failed change changes nothing");
    let before = std::fs::read(SecretStore::path(dir.path())).unwrap();
    edit_at(CHEAP, dir.path(), &master, |store| store.rotate(&secret("battery staple"))).unwrap();
    assert_ne!(before, std::fs::read(SecretStore::path(dir.path())).unwrap());
    assert_eq!(read(dir.path(), "battery staple", "line1"), Ok(Some(secret(CANARY))));
    assert_eq!(read(dir.path(), "correct horse", "line1"), Err(SecretError::WrongPassword));
}

#[test]
fn every_flipped_bit_is_an_error() {
    let dir = stored();
    let path = SecretStore::path(dir.path());
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            std::fs::write(&path, bad).unwrap();
            for name in ["line1", "qa", "none"] {
                let found = read(dir.path(), "correct horse", name);
                assert!(found.is_err(), "byte {at}, bit {bit}: {name} is {found:?}");
            }
        }
    }
    for length in 0..good.len() {
        std::fs::write(&path, &good[..length]).unwrap();
        assert!(read(dir.path(), "correct horse", "none").is_err(), "cut to {length} bytes");
    }
}

#[test]
fn a_forger_without_the_password_can_not_take_a_secret_out_or_ask_for_all_memory() {
    let dir = stored();
    let path = SecretStore::path(dir.path());
    let text = std::fs::read_to_string(&path).unwrap();
    let rewrite = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
        change(&mut file);
        std::fs::write(&path, seal::forged(&file)).unwrap();
    };
    rewrite(&|file| {
        file["secrets"].as_object_mut().unwrap().remove("qa");
    });
    assert_eq!(read(dir.path(), "correct horse", "line1"), Err(SecretError::WrongPassword));
    rewrite(&|file| {
        let other = file["secrets"]["qa"].clone();
        file["secrets"]["line1"] = other;
    });
    assert_eq!(read(dir.path(), "correct horse", "line1"), Err(SecretError::WrongPassword));
    rewrite(&|file| file["argon2id"]["memory_kib"] = u32::MAX.into());
    assert_eq!(read(dir.path(), "correct horse", "line1"), Err(SecretError::Damaged));
    rewrite(&|file| file["version"] = 2.into());
    assert_eq!(read(dir.path(), "correct horse", "line1"), Err(SecretError::Version(2)));
}

#[test]
fn a_file_that_is_not_ours_alone_is_refused() {
    let dir = stored();
    let path = SecretStore::path(dir.path());
    let mode = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    for open in [0o640, 0o604, 0o620, 0o602, 0o610] {
        mode(open);
        let refused = read(dir.path(), "correct horse", "none").unwrap_err();
        assert!(matches!(refused, SecretError::NotPrivate { .. }), "{open:o}: {refused}");
        assert!(refused.to_string().contains("600"), "{refused}");
    }
    mode(0o600);
    let real = dir.path().join("real");
    std::fs::rename(&path, &real).unwrap();
    std::os::unix::fs::symlink(&real, &path).unwrap();
    let refused = read(dir.path(), "correct horse", "none").unwrap_err();
    assert!(refused.to_string().contains("symbolic link"), "{refused}");
}

#[test]
fn what_can_be_no_secret_or_name_is_refused() {
    let dir = stored();
    for (name, text, wanted) in [
        ("", "x", SecretError::BadName),
        ("a\nb", "x", SecretError::BadName),
        ("a", "", SecretError::BadSecret),
        ("a", "x\ny", SecretError::BadSecret),
    ] {
        assert_eq!(set(dir.path(), "correct horse", name, text), Err(wanted));
    }
    let new = tempfile::tempdir().unwrap();
    assert_eq!(set(new.path(), "", "a", "x"), Err(SecretError::EmptyMaster));
    assert!(SecretStore::find(new.path()).unwrap().is_none());
}

#[test]
fn a_secret_shows_nowhere() {
    let dir = stored();
    let text = std::fs::read_to_string(SecretStore::path(dir.path())).unwrap();
    let found = read(dir.path(), "correct horse", "line1");
    let shown = format!("{text} {found:?} {:?}", read(dir.path(), "CANARY-wrong", "line1"));
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[test]
fn the_master_password_comes_from_a_descriptor_a_variable_or_a_credential() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(CREDENTIAL);
    let both = |name: &str| match name {
        MASTER_VARIABLE => Some("by variable".to_owned()),
        "CREDENTIALS_DIRECTORY" => Some(dir.path().to_str().unwrap().to_owned()),
        _ => None,
    };
    let credential = |name: &str| both(name).filter(|_| name != MASTER_VARIABLE);
    assert_eq!(read_master(None, &both), Ok(Some(secret("by variable"))));
    assert_eq!(read_master(None, &credential), Ok(None), "no such credential is passed");
    std::fs::write(&file, "by credential\n").unwrap();
    assert_eq!(read_master(None, &credential), Ok(Some(secret("by credential"))));
    let open = std::fs::File::open(&file).unwrap();
    let fd = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&open)).unwrap();
    assert_eq!(read_master(Some(fd), &both), Ok(Some(secret("by credential"))));
    assert_eq!(read_master(None, &|_| None), Ok(None));
    std::fs::write(&file, "two\nlines\n").unwrap();
    assert!(read_master(None, &credential).is_err());
}
