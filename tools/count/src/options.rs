//! What was asked for on the command line.

/// What to count, and what to do with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Ids of the rows to count; all rows, when empty.
    pub(crate) only: Vec<String>,
    /// Whether to count the main rows alone, and to fail when one has grown.
    pub(crate) check: bool,
    /// Whether to write the table and the documents.
    pub(crate) update: bool,
    /// Whether to count nothing, and to write the documents by the table as it is.
    pub(crate) render: bool,
}

const USAGE: &str = "\
usage: count [--only ID[,ID...]] [--check | --update | --render]

  --only ID,...  only these rows and what they are compared with
  --check        only the main rows; exit with 1 when one costs more than in docs/cost.json
  --update       write what was counted into docs/cost.json and the documents
  --render       count nothing; write the documents by docs/cost.json, and the sizes of the modules into it";

// === impl Options ===

impl Options {
    /// The options in `args`, or what is wrong with them.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--only" => {
                    let ids = args.next().ok_or(format!("{name} needs a value\n\n{USAGE}"))?;
                    options.only.extend(ids.split(',').map(str::to_owned));
                }
                "--check" => options.check = true,
                "--update" => options.update = true,
                "--render" => options.render = true,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                _ => return Err(format!("no option {name}\n\n{USAGE}")),
            }
        }
        if options.check && options.update {
            return Err(format!("--check and --update exclude each other\n\n{USAGE}"));
        }
        Ok(options)
    }
}
