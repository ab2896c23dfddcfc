//! An audit trail that is exported, and checked where there is no database.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::server::{Folder, Server};

const USER: &str = "11111111-1111-4111-8111-111111111111";

/// A trail of six entries as it was exported, with its head.
struct Exported {
    folder: Folder,
    /// Has no database and never gets one.
    elsewhere: Folder,
    lines: Vec<String>,
    head: String,
    tenant: String,
    path: PathBuf,
}

impl Exported {
    fn new() -> Self {
        let (folder, elsewhere) = (Folder::new(), Folder::new());
        let server = Server::start(&folder);
        let tenant = folder.says(&["tenant", "create", "--name", "Acme", "--owner", USER]);
        for name in ["one", "two", "three", "four", "five"] {
            folder.says(&["key", "create", "--tenant", &tenant, "--scopes", "viewUsage", "--name", name]);
        }
        let path = elsewhere.0.join("trail.ndjson");
        let (out, json) = (path.to_str().unwrap(), "--json");
        let said = folder.says(&[json, "audit", "export", "--tenant", &tenant, "--out", out]);
        let summary: Value = serde_json::from_str(&said).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!((lines.len(), summary["entries"].as_u64(), &summary["blanked"]), (6, Some(6), &json!(0)));
        assert_eq!(summary["tenantId"], tenant);
        // What is on standard output is the trail alone; the head is told beside it.
        let printed = folder.run(&["audit", "export", "--tenant", &tenant]);
        let head = summary["head"].as_str().unwrap().to_owned();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), text);
        assert!(String::from_utf8(printed.stderr).unwrap().contains(&format!("head {head}")));
        // Nothing is written over, and nothing is left of what failed.
        let again = folder.run(&["audit", "export", "--tenant", &tenant, "--out", out]);
        assert_eq!(again.status.code(), Some(1));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        let nobody = elsewhere.0.join("nobody.ndjson");
        let unknown = folder.run(&[
            "audit",
            "export",
            "--tenant",
            USER.replace('1', "2").as_str(),
            "--out",
            nobody.to_str().unwrap(),
        ]);
        let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert!(unknown.status.code() == Some(1) && said.contains("there is no tenant") && !nobody.exists(), "{said}");
        drop(server);
        Self { folder, elsewhere, lines, head, tenant, path }
    }

    /// Exit code and what is printed about a file of these bytes.
    fn verified(&self, bytes: &[u8], options: &[&str]) -> (Option<i32>, String) {
        std::fs::write(&self.path, bytes).unwrap();
        let output = self.elsewhere.run(&[&["audit", "verify", self.path.to_str().unwrap()], options].concat());
        assert!(!self.elsewhere.data().exists(), "checking a file made a database");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    fn id(&self, index: usize) -> String {
        let line: Value = serde_json::from_str(&self.lines[index]).unwrap();
        line["id"].as_str().unwrap().to_owned()
    }
}

fn text(lines: &[&String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

#[test]
fn attack_30_a_trail_that_was_changed_anywhere_is_told_with_the_first_broken_entry() {
    let exported = Exported::new();
    let lines: Vec<&String> = exported.lines.iter().collect();
    let head = ["--head", exported.head.as_str()];
    let (code, said) = exported.verified(&text(&lines), &head);
    assert!(code == Some(0) && said.contains("6 entries") && said.contains("intact"), "{said}");
    let (code, said) = exported.verified(&text(&lines), &["--json"]);
    let value: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!((&value["entries"], &value["head"], &value["broken"]), (&json!(6), &json!(exported.head), &Value::Null));
    assert_eq!(value["tenantId"], exported.tenant);

    let changed = |index: usize, from: &str, to: &str| {
        assert!(exported.lines[index].contains(from), "{}", exported.lines[index]);
        let line = exported.lines[index].replacen(from, to, 1);
        let mut lines = lines.clone();
        lines[index] = &line;
        text(&lines)
    };
    let whole = text(&lines);
    let damages: Vec<(&str, Vec<u8>, Option<usize>)> = vec![
        ("a name in a payload", changed(2, "\"two\"", "\"owt\""), Some(2)),
        ("who did it", changed(1, "\"actor\":\"system\"", "\"actor\":\"user\""), Some(1)),
        ("when", changed(3, "\"at\":\"2", "\"at\":\"1"), Some(3)),
        ("a payload without its salt", changed(1, "\"payloadSalt\":\"", "\"payloadSalt\":null,\"x\":\""), Some(1)),
        ("removed at the front", text(&lines[1..]), Some(1)),
        ("removed in the middle", text(&[&lines[..2], &lines[3..]].concat()), Some(3)),
        ("two in the other order", text(&[lines[0], lines[2], lines[1], lines[3], lines[4], lines[5]]), Some(2)),
        ("one twice", text(&[&lines[..3], &lines[2..]].concat()), Some(2)),
        ("the last line break", whole[..whole.len() - 1].to_vec(), Some(5)),
        ("a line that broke off", whole[..whole.len() - 100].to_vec(), None),
        ("no text", [&whole[..], b"\xff\n"].concat(), None),
        ("an empty line", [&whole[..], b"\n"].concat(), None),
        ("nothing", Vec::new(), None),
    ];
    for (damage, bytes, entry) in &damages {
        let (code, said) = exported.verified(bytes, &[]);
        let due = entry.map_or_else(
            || "broken at an entry without an id".to_owned(),
            |index| format!("broken at entry {}", exported.id(index)),
        );
        assert!(code == Some(1) && said.contains(&due), "{damage}: {code:?} {said}, not {due}");
        let (code, said) = exported.verified(bytes, &["--json"]);
        let value: Value = serde_json::from_str(&said).unwrap();
        let id = entry.map_or(Value::Null, |index| json!(exported.id(index)));
        assert_eq!((code, &value["broken"]["id"]), (Some(1), &id), "{damage}: {said}");
    }

    // What is missing at the end only the head tells.
    let short = text(&lines[..5]);
    assert_eq!(exported.verified(&short, &[]).0, Some(0));
    let (code, said) = exported.verified(&short, &head);
    assert!(code == Some(1) && said.contains(&format!("broken at entry {}", exported.id(4))), "{said}");
    assert_eq!(exported.verified(&whole, &["--head", "abc"]).0, Some(2));
    assert_eq!(exported.verified(&whole, &["--head", &"0".repeat(64)]).0, Some(1));
    std::fs::remove_file(&exported.path).unwrap();
    let missing = exported.elsewhere.run(&["audit", "verify", exported.path.to_str().unwrap()]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(exported.folder.data().exists());
}
