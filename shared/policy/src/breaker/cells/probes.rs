//! Probes of a half-open breaker: who may be one, what came of them, and what that says.
//!
//! A request whose body is still to come may take its time, or never end, for which the upstream is not
//! to blame. It is a probe like others, but a request without a body takes its permit over when no other
//! is left. So probes are requests without a body while there are any, and a service of uploads is
//! probed by uploads.
//!
//! Permits are renewed over time, whether or not those that have them come back
//! ([`BreakerParams::renewed`]). So neither requests that never end nor clients that reset theirs and ask
//! again at once keep others out: the first `half_open_permits` answers decide.

use crate::breaker::params::BreakerParams;
use crate::http::classify::Class;

/// Probes of a half-open breaker.
///
/// ```
/// use tidegate_policy::breaker::cells::probes::Probes;
///
/// let upload = Probes::default().admit(1, 0, true).unwrap();
/// assert_eq!(upload.admit(1, 0, true), None, "there is one permit");
/// assert_eq!(upload.admit(1, 1, true).unwrap().issued, 2, "it was renewed");
/// let probes = upload.admit(1, 0, false).unwrap();
/// assert_eq!((probes.issued, probes.uploads), (1, 0), "it is another's now");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// Permits that were given, less those that came back unused. Renewed ones that nobody took in time
    /// are among them.
    pub issued: u16,
    /// Succeeded.
    pub ok: u16,
    /// Failed.
    pub failed: u16,
    /// Slow, whatever else became of them.
    pub slow: u16,
    /// Left by their clients, slow and without an answer.
    pub left: u16,
    /// Permits of requests whose bodies were still to come when they passed, and which did not come
    /// back; at most `half_open_permits`.
    pub uploads: u16,
}

// === impl Probes ===

impl Probes {
    /// With one more, if there is a permit for it: a free one, or that of an upload. `renewed` were added
    /// to the `permits` by now; those that nobody took do not add up to more than `permits` at once.
    #[must_use]
    pub fn admit(mut self, permits: u16, renewed: u16, upload: bool) -> Option<Self> {
        if self.issued < permits.saturating_add(renewed) {
            self.issued = self.issued.max(renewed).saturating_add(1);
            self.uploads = self.uploads.saturating_add(u16::from(upload)).min(permits);
            return Some(self);
        }
        self.uploads = self.uploads.checked_sub(1).filter(|_| !upload)?;
        Some(self)
    }

    /// With the outcome of one. One that was ignored gives its permit back, and so does one whose client
    /// left: it was slow, and nobody knows whether it failed. An upload whose permit is another's has none
    /// to give back, so `None`; but its answer is one.
    #[must_use]
    pub fn with(mut self, class: Class, slow: bool, upload: bool) -> Option<Self> {
        if upload {
            let has_answer = matches!(class, Class::Success | Class::Failure | Class::Throttled);
            self.uploads = self.uploads.checked_sub(1).or(has_answer.then_some(0))?;
        }
        match class {
            Class::Ignored => self.issued = self.issued.saturating_sub(1),
            Class::Left => {
                self.issued = self.issued.saturating_sub(1);
                self.left = self.left.saturating_add(1);
            }
            Class::Success => self.ok = self.ok.saturating_add(1),
            Class::Early | Class::Failure | Class::Throttled => self.failed = self.failed.saturating_add(1),
        }
        if class != Class::Ignored && slow {
            self.slow = self.slow.saturating_add(1);
        }
        Some(self)
    }

    /// Whether they are well, as soon as those that are still to come cannot change it. Those that their
    /// clients left may be more than there are permits, so slow ones are a share of all that came back.
    #[must_use]
    pub fn verdict(self, params: &BreakerParams) -> Option<bool> {
        let permits = u32::from(params.half_open_permits);
        let came = permits.max(self.answered().saturating_add(self.left.into()));
        if reaches(self.failed.into(), params.failure_rate_percent, permits)
            || reaches(self.slow.into(), params.slow_rate_percent, came)
        {
            return Some(false);
        }
        (self.answered() >= permits).then_some(true)
    }

    /// Whether those that came back are well; `None` when none did. What did not come back is no
    /// evidence.
    #[must_use]
    pub fn late_verdict(self, params: &BreakerParams) -> Option<bool> {
        let answered = self.answered();
        let all = answered.saturating_add(self.left.into());
        let failed = answered > 0 && reaches(self.failed.into(), params.failure_rate_percent, answered);
        let slow = reaches(self.slow.into(), params.slow_rate_percent, all);
        (all > 0).then_some(!failed && !slow)
    }

    fn answered(self) -> u32 {
        u32::from(self.ok).saturating_add(self.failed.into())
    }
}

/// Whether `part` of `total` is at least `percent` %.
pub(crate) fn reaches(part: u32, percent: u32, total: u32) -> bool {
    u64::from(part).saturating_mul(100) >= u64::from(percent).saturating_mul(total.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks and outcomes: `+` a request without a body, `u` an upload, then a letter for what became of
    /// one, in small letters if it was an upload. What was said to those that asked.
    fn play(permits: u16, story: &str) -> (std::string::String, Probes) {
        let (mut said, mut probes) = (std::string::String::new(), Probes::default());
        for letter in story.chars() {
            let next = match letter {
                '+' | 'u' => {
                    let next = probes.admit(permits, 0, letter == 'u');
                    said.push(if next.is_some() { 'p' } else { '-' });
                    next
                }
                'L' => probes.with(Class::Left, true, false),
                _ => {
                    let class = Class::spelt(letter.to_ascii_uppercase());
                    probes.with(class, false, letter.is_ascii_lowercase())
                }
            };
            probes = next.unwrap_or(probes);
        }
        (said, probes)
    }

    #[test]
    fn uploads_are_probes_until_others_need_their_permits() {
        #[rustfmt::skip]
        let cases = [
            // permits  story          said        issued, ok, uploads
            (2,         "+++",         "pp-",      [2, 0, 0]),
            (2,         "uuu",         "pp-",      [2, 0, 2]),
            (2,         "uu++u+",      "pppp--",   [2, 0, 0]),
            (2,         "uu+sS+",      "ppp-",     [2, 2, 0]),
            (2,         "u+s+",        "pp-",      [2, 1, 0]),
            (1,         "u+s",         "pp",       [1, 1, 0]),
            (1,         "u+i",         "pp",       [1, 0, 0]),
            (1,         "u+sS",        "pp",       [1, 2, 0]),
            (1,         "uiu",         "pp",       [1, 0, 1]),
            (1,         "u+iI+",       "ppp",      [1, 0, 0]),
        ];
        for (permits, story, expected, counts) in cases {
            let (said, Probes { issued, ok, uploads, .. }) = play(permits, story);
            assert_eq!((said.as_str(), [issued, ok, uploads]), (expected, counts), "{permits} {story}");
        }
    }

    #[test]
    fn renewed_permits_that_nobody_took_do_not_add_up() {
        let (mut probes, mut passed) = (Probes::default(), std::vec![]);
        for renewed in [0, 0, 1, 1, 4, 4, 4, 100, u16::MAX, u16::MAX] {
            let before = passed.len();
            while let Some(next) = probes.admit(2, renewed, true) {
                passed.push(renewed);
                probes = next;
                assert!(probes.uploads <= 2);
                assert!(passed.len() - before <= 2, "{renewed}");
            }
        }
        assert_eq!(passed, [0, 0, 1, 4, 4, 100, 100, u16::MAX]);
    }

    #[test]
    fn what_came_back_decides_when_the_time_is_over() {
        let params = BreakerParams { half_open_permits: 5, ..BreakerParams::default() };
        #[rustfmt::skip]
        let cases = [
            // story        at once       when the time is over
            ("++++",        None,         None),
            ("u+++",        None,         None),
            ("+I",          None,         None),
            ("++++SSSS",    None,         Some(true)),
            ("+S",          None,         Some(true)),
            ("+F",          None,         Some(false)),
            ("++SF",        None,         Some(false)),
            ("+++SSF",      None,         Some(true)),
            ("+L",          None,         Some(false)),
            ("++LS",        None,         Some(true)),
            ("+L+L+L+L",    None,         Some(false)),
            ("+L+L+L+L+L",  Some(false),  Some(false)),
            ("++++SSSSLLLLL", None,       Some(true)),
            ("+++FFF",      Some(false),  Some(false)),
            ("+++++SSSSS",  Some(true),   Some(true)),
        ];
        for (story, at_once, late) in cases {
            let (_, probes) = play(5, story);
            assert_eq!((probes.verdict(&params), probes.late_verdict(&params)), (at_once, late), "{story}");
        }
    }
}
