//! Starts that cannot be: one line that says what to do, and an exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output};

use super::server::{Folder, Server};

/// The one line of an error.
fn error_line(output: &Output, exit: i32) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((lines.len(), output.status.code()), (1, Some(exit)), "{said}");
    lines[0].to_owned()
}

fn serve(folder: &Folder) -> Command {
    folder.command(&["serve", "--listen", "127.0.0.1:0"])
}

#[tokio::test]
async fn a_second_start_on_a_folder_and_a_port_in_use() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let second = error_line(&serve(&folder).output().unwrap(), 1);
    assert!(second.contains(&format!("(pid {})", server.pid())) && second.contains("--data-dir"), "{second}");
    let other = Folder::new();
    let address = server.url.strip_prefix("http://").unwrap();
    let taken = error_line(&other.run(&["serve", "--listen", address]), 1);
    assert!(taken.contains("the port is in use") && taken.contains("--listen"), "{taken}");
    assert_eq!(other.postmaster(), None);
}

#[tokio::test]
async fn damaged_files_are_named() {
    let folder = Folder::new();
    std::fs::write(folder.0.join("tenantry.toml"), "pool_size = \"many\"\n").unwrap();
    let config = error_line(&serve(&folder).output().unwrap(), 2);
    assert!(config.contains("tenantry.toml") && config.contains("pool_size"), "{config}");
    std::fs::remove_file(folder.0.join("tenantry.toml")).unwrap();
    std::fs::write(folder.0.join("plans.toml"), "[[plans]]\nid = \"free\n").unwrap();
    let plans = error_line(&serve(&folder).output().unwrap(), 1);
    assert!(plans.contains("plans.toml:2"), "{plans}");
    std::fs::remove_file(folder.0.join("plans.toml")).unwrap();
    let missing = error_line(&serve(&folder).output().unwrap(), 1);
    assert!(missing.contains("--plans"), "{missing}");
    assert!(!folder.data().join("postgres").exists(), "nothing is begun with a broken catalog");
}

#[tokio::test]
async fn a_server_that_is_too_old_or_missing() {
    let folder = Folder::new();
    let bin = folder.0.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let none = error_line(&serve(&folder).env("TENANTRY_PG_BIN_DIR", &bin).output().unwrap(), 1);
    assert!(none.contains("scripts/setup.sh"), "{none}");
    for program in ["postgres", "initdb", "pg_ctl"] {
        let path = bin.join(program);
        std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 15.13'\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let old = error_line(&serve(&folder).env("TENANTRY_PG_BIN_DIR", &bin).output().unwrap(), 1);
    assert!(old.contains("15.13") && old.contains("update it"), "{old}");
}

/// Mounts a small or read-only file system in a namespace of its own, which only root may.
fn on_a_mount(folder: &Folder, options: &str) -> Output {
    std::fs::create_dir_all(folder.data()).unwrap();
    let script =
        format!("mount -t tmpfs -o {options} tmpfs \"$1\" && exec \"$2\" --data-dir \"$1\" serve --listen 127.0.0.1:0");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(folder.data()).arg(env!("CARGO_BIN_EXE_tenantry"));
    command.current_dir(&folder.0).output().unwrap()
}

/// A limit on the size of files, which anybody may set for themselves, refuses a write as a full disk does.
#[tokio::test]
async fn a_file_that_may_not_grow() {
    let folder = Folder::new();
    let script = "ulimit -f 1000 && exec \"$0\" --data-dir \"$1\" serve --listen 127.0.0.1:0";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_tenantry")]).arg(folder.data()).current_dir(&folder.0);
    let full = error_line(&command.output().unwrap(), 1);
    assert!(full.contains("is full") && full.contains("free some space"), "{full}");
    assert_eq!(folder.postmaster(), None);
}

#[tokio::test]
async fn a_full_disk_and_a_read_only_folder() {
    let folder = Folder::new();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let full = error_line(&on_a_mount(&folder, "size=12m,mode=755"), 1);
        assert!(full.contains("is full") && full.contains("free some space"), "{full}");
        let read_only = error_line(&on_a_mount(&folder, "ro"), 1);
        assert!(read_only.contains("cannot write") || read_only.contains("Read-only"), "{read_only}");
        assert!(read_only.contains("--data-dir"), "{read_only}");
    } else {
        // Nobody but root may mount; what is left is a folder that may not be written, and the size limit above.
        std::fs::create_dir_all(folder.data()).unwrap();
        std::fs::set_permissions(folder.data(), std::fs::Permissions::from_mode(0o555)).unwrap();
        let read_only = error_line(&serve(&folder).output().unwrap(), 1);
        assert!(read_only.contains("cannot write") && read_only.contains("--data-dir"), "{read_only}");
    }
}

#[tokio::test]
async fn production_needs_strong_secrets() {
    let folder = Folder::new();
    let missing = serve(&folder).env("TENANTRY_ENV", "production").output().unwrap();
    let missing = error_line(&missing, 2);
    assert!(missing.contains("JWT_SECRET is missing") && missing.contains("openssl rand"), "{missing}");
    let weak = serve(&folder).env("TENANTRY_ENV", "production").env("JWT_SECRET", "hunter2").output().unwrap();
    let weak = error_line(&weak, 2);
    assert!(weak.contains("too weak") && !weak.contains("hunter2"), "{weak}");
}

#[tokio::test]
async fn a_mail_server_that_cannot_be_used_is_named_and_not_shown() {
    let folder = Folder::new();
    let no_sender = serve(&folder).env("SMTP_URL", "smtps://user:hunter2@mail.example").output().unwrap();
    let no_sender = error_line(&no_sender, 2);
    assert!(no_sender.contains("mail_from is missing") && !no_sender.contains("hunter2"), "{no_sender}");
    assert!(!folder.data().join("postgres").exists(), "nothing is begun with mails that cannot be sent");
}

#[tokio::test]
async fn wrong_use_is_exit_2() {
    let folder = Folder::new();
    for args in [
        &["serve", "--no-such"][..],
        &["token", "--user", "me"],
        &["usage", "import", "x.csv", "--tenant", "7", "--timestamp", "t", "--metric", "m=c"],
        &["key", "create"],
        &["--config", "missing.toml", "migrate"],
    ] {
        assert_eq!(folder.run(args).status.code(), Some(2), "{args:?}");
    }
}

/// Root's home is closed to the user that the database runs as, so the cluster lies elsewhere and is pointed to.
#[tokio::test]
async fn root_in_a_home_that_is_closed_to_others() {
    let folder = Folder::new();
    std::fs::set_permissions(&folder.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    for _ in 0..2 {
        let server = Server::start(&folder);
        assert!(folder.says(&["verify"]).ends_with("the books are right"));
        assert_eq!(server.stop("-INT"), Some(0));
    }
    let pointer = folder.data().join("cluster-location");
    let is_root = rustix::process::geteuid().is_root();
    assert_eq!(pointer.exists(), is_root, "only root needs another place");
    if is_root {
        let elsewhere = std::fs::read_to_string(pointer).unwrap();
        assert!(std::path::Path::new(elsewhere.trim()).join("pgdata").is_dir());
        std::fs::remove_dir_all(elsewhere.trim()).unwrap();
    }
}
