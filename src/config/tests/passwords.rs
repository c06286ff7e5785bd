//! Where passwords come from, and where they must never go.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::model::Secret;

fn endpoint(password: &str) -> String {
    format!("[[endpoints]]\nname='line.1'\nendpoint_url='u'\n{password}")
}

fn env(name: &str) -> Option<String> {
    match name {
        "PW" => Some("from-env".into()),
        "EMPTY" => Some(String::new()),
        "OT_LINE_1_PASSWORD" => Some("by-name".into()),
        _ => None,
    }
}

fn loaded(plant: &Plant, password: &str) -> Config {
    let path = plant.write("c.toml", endpoint(password));
    load_with(&path, &PROTOCOLS, &env).unwrap()
}

fn password(config: &Config) -> Option<&str> {
    config.endpoints[0].password.as_ref().map(Secret::reveal)
}

#[test]
fn a_password_comes_from_where_the_file_points_or_from_the_variable_of_its_name() {
    let plant = Plant::new();
    let file = plant.write("pw", "from-file\r\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (setting, wanted) in [
        ("password='env:PW'", "from-env"),
        ("password='file:pw'", "from-file"),
        (&format!("password='file:{}'", file.display()), "from-file"),
        ("", "by-name"),
        ("password=''", "by-name"),
    ] {
        let config = loaded(&plant, setting);
        assert_eq!(config.problems, []);
        assert_eq!(password(&config), Some(wanted));
        assert!(!format!("{config:?}").contains(wanted));
    }
    let none = toml(&endpoint(""));
    assert_eq!(password(&none), None);
}

#[test]
fn a_password_that_can_not_be_fetched_leaves_its_endpoint_out() {
    let plant = Plant::new();
    plant.write("empty", "\n");
    plant.write("big", "x".repeat(5000));
    plant.write("latin", b"\xE4");
    for (setting, wanted) in [
        ("env:NOPE", "the variable `NOPE`, which is not set"),
        ("env:EMPTY", "the variable `EMPTY`, which is not set"),
        ("file:nowhere", "can't be read"),
        ("file:empty", "is empty"),
        ("file:big", "4096 are read at most"),
        ("file:latin", "is not UTF-8"),
        ("file:.", "is no regular file"),
        ("secret:line1", "the secret store has no secret \"line1\""),
    ] {
        let config = loaded(&plant, &format!("password='{setting}'"));
        assert_eq!(config.endpoints.len(), 0, "{setting}");
        let errors: Vec<_> =
            config.problems.iter().filter(|p| p.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].message.contains(wanted), "{}", errors[0]);
        assert_eq!((errors[0].key.as_str(), errors[0].line), ("password", 4));
    }
}

#[test]
fn a_password_in_the_file_is_refused_and_never_printed() {
    for text in ["password='hunter2'", "password='hunter2:x'", "password=4711", "password=[4711]"] {
        let config = toml(&endpoint(text));
        assert_eq!(config.endpoints.len(), 0);
        assert!(only(&config).message.contains("never what it is"));
        let shown = format!("{config:?} {}", only(&config));
        assert!(!shown.contains("hunter2") && !shown.contains("4711"), "{shown}");
    }
}

#[test]
fn a_password_file_that_everybody_can_read_is_a_warning() {
    let plant = Plant::new();
    let file = plant.write("pw", "x");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let config = loaded(&plant, "password='file:pw'");
    assert_eq!(config.endpoints.len(), 1);
    assert_eq!(only(&config).severity, Severity::Warning);
    assert!(only(&config).hint.starts_with("chmod 600"));
}

/// A state directory whose store holds `line.1`, under `correct horse`.
fn with_store() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let (master, secret) = ("correct horse".to_owned(), "from-store".to_owned());
    crate::config::secret::edit(state.path(), &Secret::new(master), |store| {
        store.set("line.1", Secret::new(secret))
    })
    .unwrap();
    state
}

#[test]
fn the_secret_store_comes_first_and_a_wrong_master_password_is_never_none() {
    let (plant, state) = (Plant::new(), with_store());
    let load = |setting: &str, master: Option<&str>| {
        let path = plant.write("c.toml", endpoint(setting));
        let master = master.map(|text| Secret::new(text.to_owned()));
        let sources = Sources {
            protocols: &PROTOCOLS,
            env: &env,
            state_dir: state.path(),
            master: master.as_ref(),
        };
        super::load(Some(&path), sources).unwrap()
    };
    for setting in ["", "password='secret:line.1'"] {
        let config = load(setting, Some("correct horse"));
        assert_eq!(config.problems, []);
        assert_eq!(password(&config), Some("from-store"));
        assert!(!format!("{config:?}").contains("from-store"));
        for (master, wanted) in [
            (Some("wrong"), "the master password does not open"),
            (None, "needs its master password"),
        ] {
            let config = load(setting, master);
            assert_eq!(config.endpoints.len(), 0, "the endpoint is left out");
            assert!(only(&config).message.contains(wanted), "{}", only(&config));
        }
    }
    let other = load("password='secret:other'", Some("correct horse"));
    assert!(only(&other).message.contains("no secret \"other\""), "{}", only(&other));
    let by_env = load("password='env:PW'", None);
    assert_eq!(password(&by_env), Some("from-env"), "another source needs no store");
    std::fs::write(state.path().join("secrets.enc"), "{}").unwrap();
    let damaged = load("", Some("correct horse"));
    assert_eq!(damaged.endpoints.len(), 0, "a damaged store is never one without a password");
}
