//! Bounds as the vectors write them: `2L`, `<=19`, `<= W*(n-1)`, each perhaps followed by prose.

/// A bound on a quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// Exactly this.
    Is(f64),
}

/// Names and their values.
pub type Variables<'a> = [(&'a str, f64)];

/// Reads one bound: an operator (`<`, `<=`, `=`, `up to`; none means `=`), a formula, and
/// then nothing or a space and prose.
#[must_use]
pub fn bound(text: &str, variables: &Variables<'_>) -> Option<Bound> {
    let (bound, rest) = leading(text, variables)?;
    (rest.is_empty() || rest.starts_with(' ')).then_some(bound)
}

/// Reads a chain such as `B + L = 2L (=2L when B=L)`: every formula that is said to be equal.
#[must_use]
pub fn equal_bounds(text: &str, variables: &Variables<'_>) -> Option<Vec<Bound>> {
    let (first, mut rest) = leading(text, variables)?;
    let mut bounds = vec![first];
    loop {
        let next = rest.trim_start();
        let next = next.strip_prefix('(').unwrap_or(next);
        if !next.starts_with('=') {
            return (rest.is_empty() || rest.starts_with(' ')).then_some(bounds);
        }
        let (bound, after) = leading(next, variables)?;
        bounds.push(bound);
        rest = after;
    }
}

fn leading<'t>(text: &'t str, variables: &Variables<'_>) -> Option<(Bound, &'t str)> {
    let text = text.trim_start();
    let operator = ["<=", "<", "=", "up to"].into_iter().find(|sign| text.starts_with(sign)).unwrap_or("");
    let mut parser = Parser { rest: text.strip_prefix(operator)?, variables };
    let value = parser.sum()?;
    let bound = match operator {
        "<=" | "up to" => Bound::AtMost(value),
        "<" => Bound::Below(value),
        _ => Bound::Is(value),
    };
    Some((bound, parser.rest))
}

// === impl Bound ===

impl Bound {
    /// Whether `value` is within.
    #[must_use]
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::Below(end) => value < end,
            Self::Is(expected) => (value - expected).abs() <= expected.abs() * 1e-9,
        }
    }

    /// Whether the integer `value` is within, and the next one is not.
    #[must_use]
    pub fn is_tight(self, value: f64) -> bool {
        self.holds(value) && !self.holds(value + 1.0)
    }
}

struct Parser<'t, 'v> {
    rest: &'t str,
    variables: &'v Variables<'v>,
}

// === impl Parser ===

impl Parser<'_, '_> {
    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value += self.product()?;
            } else if self.take("-") {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.factor()?;
        loop {
            if self.take("*") {
                value *= self.factor()?;
            } else if self.take("/") {
                value /= self.factor()?;
            } else {
                return Some(value);
            }
        }
    }

    /// `(…)`, a number, a variable, or a number times a variable: `2L`.
    fn factor(&mut self) -> Option<f64> {
        if self.take("(") {
            let value = self.sum()?;
            return self.take(")").then_some(value);
        }
        let text = self.rest.trim_start();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, rest) = text.split_at(digits);
        if number.is_empty() {
            return self.variable();
        }
        self.rest = rest;
        let number: f64 = number.parse().ok()?;
        let named = rest.starts_with(|c: char| c.is_ascii_alphabetic());
        Some(if named { number * self.variable()? } else { number })
    }

    fn variable(&mut self) -> Option<f64> {
        let text = self.rest.trim_start();
        let mut named =
            self.variables.iter().filter_map(|(name, value)| Some((*value, text.strip_prefix(name)?)));
        let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let (value, rest) = named.find(|(_, rest)| ends(rest))?;
        self.rest = rest;
        Some(value)
    }

    fn take(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_written() {
        let variables = [("L", 10.0), ("B", 10.0), ("P", 4.0), ("W", 3.0), ("n", 5.0)];
        #[rustfmt::skip]
        let cases = [
            ("2L",                             Some(Bound::Is(20.0))),
            ("<=19",                           Some(Bound::AtMost(19.0))),
            ("< 2L in theory (or so)",         Some(Bound::Below(20.0))),
            (" <= W*(n-1)",                    Some(Bound::AtMost(12.0))),
            (" up to L*(W-1)/n when skewed",   Some(Bound::AtMost(4.0))),
            ("2Lx",                            None),
            ("2X",                             None),
            ("about 2L",                       None),
        ];
        for (text, expected) in cases {
            assert_eq!(bound(text, &variables), expected, "{text}");
        }
        let chain = equal_bounds("B + L*(P/P) = B+L (=2L when B=L)", &variables);
        assert_eq!(chain, Some(vec![Bound::Is(20.0); 3]));
    }
}
