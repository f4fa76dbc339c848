//! No file, however broken, makes the tool panic or report a place outside of it.

use std::fs;
use std::path::{Path, PathBuf};

use tidegate_tool::find::find;
use tidegate_tool::report::{Format, Report};
use tidegate_tool::rules::check;
use tidegate_tool::simulate::read_line;
use tidegate_tool::source::{documents, File, Unread};

use super::root;

/// Repeatable numbers below `most`.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }
}

/// The text with a few pieces cut out, doubled, or replaced.
fn broken(text: &str, numbers: &mut Numbers) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=numbers.below(4) {
        let from = numbers.below(bytes.len());
        let to = (from + numbers.below(40)).min(bytes.len());
        let piece = bytes[from..to].to_vec();
        let odd = ["\"", "}", "é", "\u{0}", ": ", "- ", "\n", "&a *a", "[", "1e999", "\t", "'", "{{ x }}"];
        match numbers.below(4) {
            0 => drop(bytes.drain(from..to)),
            1 => drop(bytes.splice(from..from, piece)),
            2 => drop(bytes.splice(from..to, odd[numbers.below(odd.len())].bytes())),
            _ => bytes.truncate(bytes.len() - numbers.below(bytes.len() / 8)),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn report_of(name: &str, text: String) {
    let (mut files, mut unread) = (Vec::new(), Vec::new());
    match documents(Path::new(name), &text) {
        Ok(documents) => files.push(File { name: name.to_owned(), text, documents }),
        Err(why) => unread.push(Unread { name: name.to_owned(), text, why }),
    }
    let findings = check(&find(&files));
    for finding in &findings {
        let length = files[finding.place.file].text.len();
        assert!(finding.place.span.start <= length && finding.place.span.end <= length, "{finding:?}");
    }
    let report = Report { files: &files, unread: &unread, findings: &findings, found: 0 };
    for format in [Format::Text, Format::Json, Format::Sarif, Format::Github] {
        assert!(!report.print(format).contains('\u{0}'));
    }
}

#[test]
fn broken_files_are_reported_and_no_more() {
    let folder = root().join("tools/tidegate/tests/rules");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut numbers = Numbers(7);
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        for _ in 0..4 {
            report_of("a.yaml", broken(&text, &mut numbers));
        }
    }
    let json = r#"{"breakers": [{"name": "é", "target": {"cluster": "a\u00e9\"b"}, "mode": "on"}], "x": {"y": [1, 2e9]}}"#;
    let hcl = "Kind = \"service-defaults\"\nEnvoyExtensions = [ { Name = \"builtin/wasm\", Arguments = { PluginConfig = { Name = \"tidegate.breaker\", Configuration = <<J\n{\"breakers\": 7}\nJ\n } } } ]\n";
    for (name, text) in [("a.json", json), ("a.hcl", hcl)] {
        (0..80).for_each(|_| report_of(name, broken(text, &mut numbers)));
    }
}

#[test]
fn broken_lines_of_logs_are_requests_or_none() {
    let mut numbers = Numbers(11);
    let text = fs::read_to_string(root().join("tools/tidegate/tests/files/access.log")).unwrap();
    let json = r#"{"start_time":"2024-02-29T12:00:00.5+02:00","method":"GET","path":"/x","response_code":200,"duration":7}"#;
    for line in text.lines().chain([json; 50]) {
        (0..10).for_each(|_| drop(read_line(&broken(line, &mut numbers))));
    }
}
