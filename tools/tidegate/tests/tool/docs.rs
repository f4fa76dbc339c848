//! `docs/tool.md` says what the tool says. `UPDATE=1` writes what it should say.

use std::fs;

use tidegate_tool::rules::RULES;

use super::{fed, root, tidegate};

const PAGE: &str = "docs/tool.md";

/// The words of a command, as a shell would split them.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in command.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The page with what stands in its blocks and tables now.
fn refreshed(page: &str) -> String {
    let mut lines = page.lines();
    let mut text = String::new();
    while let Some(line) = lines.next() {
        text += &format!("{line}\n");
        if line == "```console" {
            let command = lines.next().unwrap();
            let args = words(command.strip_prefix("$ tidegate").unwrap());
            let ran = tidegate(&args.iter().map(String::as_str).collect::<Vec<_>>());
            let told = ran.out + &ran.err;
            let told = told.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
            text += &format!("{command}\n{}\n```\n", told.trim_end());
            lines.by_ref().take_while(|line| *line != "```").for_each(drop);
        } else if line == "<!-- rules -->" {
            text += "| rule | level | what to do |\n|---|---|---|\n";
            let row = |rule: &&tidegate_tool::rules::Rule| {
                format!("| `{}` | {} | {} |\n", rule.id, rule.level.word(), rule.help)
            };
            text.extend(RULES.iter().map(row));
            text += "<!-- end of rules -->\n";
            lines.by_ref().take_while(|line| *line != "<!-- end of rules -->").for_each(drop);
        }
    }
    text
}

#[test]
fn the_page_says_what_the_tool_says() {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let expected = refreshed(&page);
    if std::env::var("UPDATE").is_ok() {
        fs::write(&path, &expected).unwrap();
    } else {
        assert_eq!(page, expected, "UPDATE=1 cargo test -p tidegate-tool writes it");
    }
}

/// What stands between two lines.
fn block<'p>(page: &'p str, open: &str, has: &str) -> &'p str {
    let blocks = page.split(open).skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.into_iter().find(|block| block.contains(has)).unwrap()
}

#[test]
fn every_command_that_renders_the_example_does() {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let shop = block(&page, "```yaml\n", "services:").to_owned() + "\n";
    let commands = block(&page, "```sh\n", "tidegate render");
    let folder = std::env::temp_dir().join(format!("tidegate-docs-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("shop.yaml").display().to_string();
    fs::write(&file, shop.trim_start()).unwrap();
    let run = |line: &str| {
        let command = line.split(['>', '|', '#']).next().unwrap();
        let args = words(command.strip_prefix("tidegate ").unwrap());
        let args: Vec<&str> =
            args.iter().map(|arg| if arg == "shop.yaml" { &file } else { arg.as_str() }).collect();
        let ran = tidegate(&args);
        // The router of Consul's has no plugins: it is checked beside them.
        let checked = (!line.contains("consul")).then(|| fed(&["check", "--strict", "-"], &ran.out));
        (ran, checked)
    };
    let ran: Vec<_> = commands.lines().map(|line| (line, run(line))).collect();
    fs::remove_dir_all(&folder).unwrap();
    assert!(ran.len() >= 5, "{commands}");
    for (line, (ran, checked)) in ran {
        assert!(ran.code == 0 && !ran.out.is_empty(), "{line}: {}", ran.err);
        if let Some(checked) = checked {
            assert_eq!(checked.code, 0, "{line}: {}{}", checked.out, checked.err);
        }
    }
}
