//! What was asked for on the command line.

use crate::arms::{Arm, ARMS};

/// What to measure, and how to show it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// How long each arm lasts.
    pub(crate) seconds: u64,
    pub(crate) arms: Vec<Arm>,
    /// Whether to print the table of README instead of one for a terminal.
    pub(crate) markdown: bool,
}

const USAGE: &str = "\
usage: dead-upstream [--seconds N] [--only ID[,ID...]] [--markdown]

  --seconds N    how long each protection is under load, 1 to 3600, default 12
  --only ID,...  only these: none, outlier, panic-0, panic-0-5s, admission, breaker
  --markdown     print the table of README

Exit code 1 when more than 24 requests pass the breaker, which is for 12 s; a longer run is not judged.";

/// For how long an arm's target is.
const JUDGED: u64 = 12;

// === impl Options ===

impl Options {
    /// The options in `args`, or what is wrong with them.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { seconds: JUDGED, arms: ARMS.to_vec(), markdown: false };
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} needs a value\n\n{USAGE}"));
            match name.as_str() {
                "--seconds" => options.seconds = seconds(&value()?)?,
                "--only" => options.arms = only(&value()?)?,
                "--markdown" => options.markdown = true,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                _ => return Err(format!("no option {name}\n\n{USAGE}")),
            }
        }
        if options.seconds > JUDGED {
            options.arms.iter_mut().for_each(|arm| arm.most = None);
        }
        Ok(options)
    }
}

fn seconds(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=3_600).contains(seconds));
    seconds.ok_or_else(|| format!("--seconds: {text} is not a whole number, 1 to 3600"))
}

/// The arms with these ids, in the table's order.
fn only(ids: &str) -> Result<Vec<Arm>, String> {
    let ids: Vec<&str> = ids.split(',').collect();
    if let Some(id) = ids.iter().find(|id| ARMS.iter().all(|arm| arm.id != **id)) {
        let known = ARMS.map(|arm| arm.id).join(", ");
        return Err(format!("--only: no {id}, expected some of {known}"));
    }
    Ok(ARMS.into_iter().filter(|arm| ids.contains(&arm.id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        #[rustfmt::skip]
        let cases = [
            // arguments                     seconds, arms, target, Markdown; or what is wrong
            ("",                             "12 none+outlier+panic-0+panic-0-5s+admission+breaker 24 false"),
            ("--only breaker,none",          "12 none+breaker 24 false"),
            ("--only none",                  "12 none 0 false"),
            ("--seconds 3 --markdown",       "3 none+outlier+panic-0+panic-0-5s+admission+breaker 24 true"),
            ("--only breaker --seconds 60",  "60 breaker 0 false"),
            ("--seconds 0",                  "--seconds: 0 is not a whole number, 1 to 3600"),
            ("--only both",                  "--only: no both, expected some of none, outlier, panic-0, panic-0-5s, admission, breaker"),
            ("--only",                       "--only needs a value"),
            ("--fast",                       "no option --fast"),
        ];
        for (args, expected) in cases {
            let got = match Options::parse(args.split_whitespace().map(str::to_owned)) {
                Ok(Options { seconds, arms, markdown }) => {
                    let ids: Vec<_> = arms.iter().map(|arm| arm.id).collect();
                    let judged = arms.iter().filter_map(|arm| arm.most).sum::<u64>();
                    format!("{seconds} {} {judged} {markdown}", ids.join("+"))
                }
                Err(message) => message.lines().next().unwrap_or_default().to_owned(),
            };
            assert_eq!(got, expected, "{args}");
        }
    }
}
