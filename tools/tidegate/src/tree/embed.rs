//! A document within a text of another one: which byte of the text is which of the file.

use super::{Node, Span, Value};

/// Where the bytes of a decoded text stand in the file.
pub struct Embedded {
    /// For each byte of the text, where it begins and ends in the file; and one for the end.
    places: Vec<(usize, usize)>,
}

impl Embedded {
    /// The places of a `text` that is written as `raw`, which begins at `start` of the file. Quotes,
    /// escapes, indents and folded lines are what the two differ in.
    #[must_use]
    pub fn new(text: &str, raw: &str, start: usize) -> Self {
        let mut places = Vec::with_capacity(text.len() + 1);
        let mut rest = raw.char_indices().peekable();
        let mut last = (0, 0);
        for wanted in text.chars() {
            while let Some(&(at, found)) = rest.peek() {
                if found == wanted {
                    last = (at, at + found.len_utf8());
                    rest.next();
                    break;
                }
                if wanted.is_whitespace() && !found.is_whitespace() && found != '\\' {
                    break;
                }
                rest.next();
                if found == '\\' {
                    skip_escape(&mut rest);
                    last = (at, rest.peek().map_or(raw.len(), |(end, _)| *end));
                    break;
                }
            }
            places.extend(std::iter::repeat_n((start + last.0, start + last.1), wanted.len_utf8()));
        }
        let end = start + rest.peek().map_or(raw.len(), |(at, _)| *at);
        places.push((end, end));
        Self { places }
    }

    /// The place of a byte of the text.
    #[must_use]
    pub fn place(&self, at: usize) -> usize {
        self.pair(at).0
    }

    fn pair(&self, at: usize) -> (usize, usize) {
        self.places.get(at).or(self.places.last()).copied().unwrap_or_default()
    }

    /// A tree of the text, with places in the file.
    pub fn place_all(&self, node: &mut Node) {
        self.move_span(&mut node.span);
        match &mut node.value {
            Value::List(items) => items.iter_mut().for_each(|item| self.place_all(item)),
            Value::Map(fields) => fields.iter_mut().for_each(|(key, node)| {
                self.move_span(&mut key.span);
                self.place_all(node);
            }),
            _ => {}
        }
    }

    fn move_span(&self, span: &mut Span) {
        let (_, end) = self.pair(span.end.saturating_sub(1).max(span.start));
        *span = self.place(span.start)..end;
    }
}

/// Goes behind what follows a backslash.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::CharIndices<'_>>) {
    let digits = match rest.next() {
        Some((_, 'x')) => 2,
        Some((_, 'u')) => 4,
        Some((_, 'U')) => 8,
        _ => 0,
    };
    (0..digits).for_each(|_| _ = rest.next());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in the file where `part` stands in the text.
    fn found<'r>(text: &str, raw: &'r str, part: &str) -> &'r str {
        let places = Embedded::new(text, raw, 0);
        let at = text.find(part).unwrap();
        &raw[places.place(at)..=places.place(at + part.len() - 1)]
    }

    #[test]
    fn a_part_is_found_however_the_text_is_written() {
        let text = "{\n  \"a\": 15\n}\n";
        assert_eq!(found(text, "\n      {\n        \"a\": 15\n      }\n", "15"), "15");
        assert_eq!(found(text, "<<JSON\n{\n  \"a\": 15\n}\nJSON", "\"a\""), "\"a\"");
        assert_eq!(found("{\"a\": 15}", r#""{\"a\": 15}""#, "15"), "15");
        assert_eq!(found("{\"a\": 15}", "'{\"a\": 15}'", "15"), "15");
        assert_eq!(found("{ \"a\": 15 }\n", "\n  {\n  \"a\":\n  15\n  }\n", "15"), "15");
    }
}
