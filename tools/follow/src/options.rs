//! What was asked for on the command line.

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Changes of what is registered; 0 for none of it.
    pub(crate) changes: usize,
    /// Rounds of the comparison of costs; 0 for none of it.
    pub(crate) rounds: usize,
    /// Requests of each subject in a round.
    pub(crate) requests: u64,
}

const USAGE: &str = "\
usage: follow [--changes N] [--rounds N] [--requests N]

  --changes N   changes of what Consul has, 0 to 1000, default 20; 0 leaves this part out
  --rounds N    rounds of the comparison of costs, 0 to 1000, default 11; 0 leaves this part out
  --requests N  requests of each Envoy in a round, 100 to 1000000, default 5000

Exit code 1 when the 95th percentile of the changes is above 150 ms, or when a request costs more than
1.1 times as much with 1,000 endpoints of each of 200 services as with 3 of one.";

// === impl Options ===

impl Options {
    /// The options in `args`, or what is wrong with them.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { changes: 20, rounds: 11, requests: 5_000 };
        while let Some(name) = args.next() {
            let mut value = |min: u64, max: u64| {
                let text = args.next().ok_or(format!("{name} needs a value\n\n{USAGE}"))?;
                let number = text.parse().ok().filter(|number| (min..=max).contains(number));
                number.ok_or(format!("{name}: {text} is not a whole number, {min} to {max}"))
            };
            match name.as_str() {
                "--changes" => options.changes = count(value(0, 1_000)?),
                "--rounds" => options.rounds = count(value(0, 1_000)?),
                "--requests" => options.requests = value(100, 1_000_000)?,
                "--help" | "-h" => return Err(USAGE.to_owned()),
                _ => return Err(format!("no option {name}\n\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_or_refused() {
        #[rustfmt::skip]
        let cases = [
            // arguments                     changes, rounds, requests; or what is wrong
            ("",                             "20 11 5000"),
            ("--changes 3 --rounds 0",       "3 0 5000"),
            ("--requests 100",               "20 11 100"),
            ("--requests 99",                "--requests: 99 is not a whole number, 100 to 1000000"),
            ("--changes many",               "--changes: many is not a whole number, 0 to 1000"),
            ("--rounds",                     "--rounds needs a value"),
            ("--fast",                       "no option --fast"),
        ];
        for (args, expected) in cases {
            let got = match Options::parse(args.split_whitespace().map(str::to_owned)) {
                Ok(Options { changes, rounds, requests }) => format!("{changes} {rounds} {requests}"),
                Err(message) => message.lines().next().unwrap_or_default().to_owned(),
            };
            assert_eq!(got, expected, "{args}");
        }
    }
}
