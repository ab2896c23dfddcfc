//! Rules of the sources that no compiler keeps: sizes, who calls whom, where SQL stands, words that must not appear.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines a source file may have without its tests.
const CEILING: usize = 500;

const OPERATIONS: &[&str] = &["env", "storage", "write_tx", "tenancy", "billing", "usage", "notices"];

/// What each module of the service may name of the crate. Calls go down: interfaces call operations, operations
/// call storage, nobody calls up.
const MAY_NAME: &[(&str, &[&[&str]])] = &[
    ("env", &[]),
    ("config", &[&["env"]]),
    ("storage", &[&["query", "begin_with", "write_tx"]]),
    ("tenancy", &[&["env", "storage", "write_tx"]]),
    ("notices", &[&["env", "storage", "write_tx", "tenancy"]]),
    ("billing", &[&["env", "storage", "write_tx", "tenancy", "notices"]]),
    ("usage", &[&["env", "storage", "begin_with", "write_tx", "tenancy", "billing", "notices"]]),
    ("stripe_sync", &[OPERATIONS]),
    ("worker", &[OPERATIONS, &["stripe_sync"]]),
    ("http", &[OPERATIONS, &["stripe_sync", "config"]]),
    ("console", &[OPERATIONS, &["http", "config"]]),
    ("deployment", &[&["env", "config", "storage"]]),
    ("server", &[OPERATIONS, &["stripe_sync", "worker", "http", "console", "config", "deployment"]]),
    ("cli", &[OPERATIONS, &["begin_with", "stripe_sync", "worker", "http", "config", "deployment", "server"]]),
];

/// What each crate may use of the workspace.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("embedded", &[]),
    ("stripe", &["tenantry-stripe-spec"]),
    ("stripe-spec", &[]),
    ("sandbox", &["tenantry-stripe", "tenantry-stripe-spec"]),
    ("tenantry", &["tenantry-domain", "tenantry-embedded", "tenantry-stripe", "tenantry-sandbox"]),
];

/// Words in no file, each in two pieces so that this file does not have them. Small letters match any.
const BANNED: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/", "brief"),
    concat!("clau", "de"),
    concat!("anthro", "pic"),
    concat!("chat", "gpt"),
    concat!("open", "ai."),
    concat!("co", "pilot"),
    concat!("sub", "agent"),
    concat!("iss", "ue #"),
    concat!("fix", "me"),
    concat!("to", "do:"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("registry.", "npmjs"),
    concat!("pypi.", "org"),
    concat!("python", "hosted.org"),
    concat!("deb.", "debian.org"),
    concat!("archive.", "ubuntu.com"),
    concat!("rubygems.", "org"),
    concat!("proxy.", "golang.org"),
    // A test that is skipped counts as passed.
    concat!("#[ign", "ore"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// All files below a folder, but what is built or made by running.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_symlink()
            || ["target", "data", "node_modules", ".git", "__pycache__", ".venv", ".hypothesis", ".schemathesis"]
                .contains(&name.as_str())
        {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The Rust sources of all crates without their tests, as (path from the root, text).
fn sources() -> Vec<(String, String)> {
    let root = root();
    let found: Vec<(String, String)> = files(&root.join("crates"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| (path.strip_prefix(&root).unwrap().to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name.contains("/src/") && !name.ends_with("/tests.rs") && !name.contains("/tests/"))
        .map(|(name, path)| (name, without_tests(&fs::read_to_string(path).unwrap())))
        .collect();
    assert!(found.len() > 100, "only {} sources", found.len());
    found
}

/// A source up to its module of tests, which comes last.
fn without_tests(text: &str) -> String {
    match text.find("\n#[cfg(test)]\nmod tests {\n") {
        Some(start) => text[..=start].to_owned(),
        None => text.to_owned(),
    }
}

/// The string literals of a source, and the source without them and without comments.
fn split(text: &str) -> (Vec<String>, String) {
    let (mut literals, mut code, mut rest) = (Vec::new(), String::new(), text);
    while let Some(next) = rest.chars().next() {
        let raw = rest.trim_start_matches('r').trim_start_matches('#').starts_with('"') && next == 'r';
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if raw {
            let hashes = "#".repeat(rest[1..].find('"').unwrap());
            let body = &rest[2 + hashes.len()..];
            let end = body.find(&format!("\"{hashes}")).unwrap();
            literals.push(body[..end].to_owned());
            rest = &body[end + 1 + hashes.len()..];
        } else if next == '"' {
            let mut escaped = false;
            let end = rest[1..]
                .find(|letter| {
                    let closes = letter == '"' && !escaped;
                    escaped = letter == '\\' && !escaped;
                    closes
                })
                .unwrap();
            literals.push(rest[1..=end].to_owned());
            rest = &rest[end + 2..];
        } else {
            // A quotation mark as a character opens nothing.
            let quoted = ["'\"'", "'\\\"'"].iter().find(|mark| rest.starts_with(**mark)).map_or(0, |mark| mark.len());
            let length = quoted.max(next.len_utf8());
            code.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    (literals, code)
}

/// The modules of the crate's root that code names.
fn named(code: &str) -> BTreeSet<String> {
    let word =
        |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (start, _) in code.match_indices("crate::") {
        let rest = &code[start + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        let mut depth = 1;
        let mut first = true;
        for (index, letter) in group.char_indices() {
            if depth == 1 && first && letter.is_alphabetic() {
                found.insert(word(&group[index..]));
                first = false;
            }
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => first = true,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    found
}

/// Whether a string literal is a statement.
fn is_sql(literal: &str) -> bool {
    let text = literal.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let begins = |start: &str| text.starts_with(start);
    begins("insert into ")
        || begins("delete from ")
        || begins("truncate ")
        || begins("set local ")
        || (begins("select ") && (text.contains(" from ") || text.contains('(')))
        || (begins("update ") && text.contains(" set "))
        || (begins("with ") && text.contains(" as ("))
        || ["create", "alter", "drop"].iter().any(|verb| {
            ["table", "role", "index", "policy", "function", "schema", "database"]
                .iter()
                .any(|what| begins(&format!("{verb} {what} ")))
        })
}

/// The module of the service's root that a source belongs to.
fn module(name: &str) -> Option<&str> {
    let path = name.strip_prefix("crates/tenantry/src/")?;
    let first = path.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first)).filter(|module| !["lib", "main"].contains(module))
}

/// How deep below the crate's root the module of a source is.
fn depth(name: &str) -> usize {
    let path = name.split("/src/").nth(1).unwrap();
    path.split('/').count() - usize::from(path.ends_with("mod.rs"))
}

#[test]
fn no_source_is_longer_than_the_ceiling() {
    let long: Vec<String> = sources()
        .iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > CEILING)
        .map(|(name, lines)| format!("{name}: {lines} lines, {CEILING} are allowed: divide it"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn modules_call_down_only() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        let Some(module) = module(&name) else { continue };
        let Some((_, allowed)) = MAY_NAME.iter().find(|(known, _)| *known == module) else {
            faults.push(format!("{name}: the module {module} has no place in MAY_NAME"));
            continue;
        };
        let (_, code) = split(&text);
        for other in named(&code) {
            if other != module && !allowed.concat().contains(&other.as_str()) {
                faults.push(format!("{name}: {module} names {other}"));
            }
        }
        if code.contains(&"super::".repeat(depth(&name))) {
            faults.push(format!("{name}: leaves its module by `super`: write `crate::`"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn crates_use_what_lies_below_them_only() {
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            panic!("the crate {name} has no place in MAY_USE");
        };
        let manifest = fs::read_to_string(path.join("Cargo.toml")).unwrap();
        for line in manifest.lines().filter(|line| line.starts_with("tenantry")) {
            let used = line.split(['.', ' ', '=']).next().unwrap();
            assert!(allowed.contains(&used), "{name} uses {used}");
        }
        // It reads files that lie outside the repository: no binary may need them.
        let always = manifest.split("[dev-dependencies]").next().unwrap();
        assert!(!always.contains("\ntenantry-stripe-spec"), "{name}: tenantry-stripe-spec is for tests");
    }
}

#[test]
fn the_domain_is_pure() {
    for (name, text) in sources() {
        if !name.starts_with("crates/domain/") {
            continue;
        }
        let (_, code) = split(&text);
        for word in
            ["async ", ".await", "tokio", "std::fs", "std::net", "std::env", "std::time", "std::thread", "::now()"]
        {
            assert!(!code.contains(word), "{name}: the domain does without `{word}`");
        }
    }
}

#[test]
fn sql_stands_in_storage_only() {
    let mut faults = Vec::new();
    for (name, text) in sources() {
        if name.starts_with("crates/tenantry/src/storage/") {
            continue;
        }
        let (literals, code) = split(&text);
        faults.extend(literals.iter().filter(|text| is_sql(text)).map(|text| format!("{name}: {text}")));
        if code.contains("query! {") || code.contains("batch_execute(") {
            faults.push(format!("{name}: runs statements"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_file_has_a_banned_word() {
    let mut faults = Vec::new();
    let mut read = 0;
    for path in files(&root()) {
        // What is no text is not read; lists of measurements are not prose.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        read += 1;
        let text = text.to_lowercase();
        for word in BANNED.iter().filter(|word| text.contains(**word)) {
            let line = text.lines().position(|line| line.contains(word)).unwrap() + 1;
            faults.push(format!("{}:{line}: {word}", path.display()));
        }
    }
    assert!(read > 150, "only {read} files");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn these_rules_see_what_breaks_them() {
    let source = r##"
        // select 1 from comments
        use crate::{env, storage::{self, Tx}, http::Problem};
        fn f(quote: char) -> bool { quote == '"' || crate::cli::main() }
        const A: &str = "say \"select\" from here";
        const B: &str = r#"select "id" from tenantry.users"#;
        const C: &str = "
            with x as (select 1) select * from x";
    "##;
    let (literals, code) = split(source);
    assert_eq!(literals.len(), 3, "{literals:#?}");
    assert_eq!(literals.iter().filter(|literal| is_sql(literal)).count(), 2, "{literals:#?}");
    assert!(!code.contains("select"), "{code}");
    let due: BTreeSet<String> = ["cli", "env", "http", "storage"].map(str::to_owned).into();
    assert_eq!(named(&code), due);
    for statement in ["delete from x", "UPDATE x SET y = 1", "create table x ()", "select now()", "set local a = 'b'"] {
        assert!(is_sql(statement), "{statement}");
    }
    for sentence in ["update the server", "with care", "select a plan", "create an organization"] {
        assert!(!is_sql(sentence), "{sentence}");
    }
    assert_eq!(without_tests("a\n\n#[cfg(test)]\nmod tests {\n}\n"), "a\n\n");
    assert_eq!(module("crates/tenantry/src/http/routes/x.rs"), Some("http"));
    assert_eq!((depth("crates/tenantry/src/http/routes/x.rs"), depth("crates/tenantry/src/http/mod.rs")), (3, 1));
}

/// Attacks that must fail, one or more tests for each.
const ATTACKS: usize = 30;

#[test]
fn every_attack_has_a_test_of_its_name() {
    let mut tested = [false; ATTACKS + 1];
    for path in files(&root().join("crates/tenantry/tests/it")) {
        let Ok(text) = fs::read_to_string(path) else { continue };
        for name in text.split(concat!("fn att", "ack_")).skip(1) {
            // `attack_18_19_…` stands for both.
            let numbers = name.split('_').map_while(|word| word.parse::<usize>().ok());
            numbers.for_each(|number| tested[number] = true);
        }
    }
    let missing: Vec<usize> = (1..=ATTACKS).filter(|number| !tested[*number]).collect();
    assert!(missing.is_empty(), "no test is named after these attacks: {missing:?}");
}
