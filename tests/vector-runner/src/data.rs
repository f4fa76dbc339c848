//! Reading a vector file: values that know where they stand and remember being read.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;

use serde_json::Value;

/// A value of a vector file.
#[derive(Clone)]
pub struct Node<'a> {
    value: &'a Value,
    path: String,
    seen: &'a Seen,
}

/// Which values were read, by address.
pub type Seen = RefCell<HashSet<*const Value>>;

/// What is wrong, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is not as it should be.
    Malformed {
        /// The place; empty for the file as a whole.
        at: String,
        /// What was found and what would be right.
        what: String,
    },
    /// Our answer is not the expected one.
    Wrong {
        /// The place.
        at: String,
        /// What the file says.
        expected: String,
        /// What we say.
        got: String,
    },
}

/// Fields for readers: nothing is compared with them.
pub const FREE_TEXT: [&str; 7] = ["about", "comment", "name", "note", "source", "space_saving", "state"];

/// Fails for the first value that nobody read.
///
/// # Errors
/// A field that the claim does not know.
pub fn all_seen(document: &Value, seen: &Seen) -> Result<(), Fault> {
    unread(&Node::root(document, seen), &seen.borrow())
}

fn unread(node: &Node<'_>, seen: &HashSet<*const Value>) -> Result<(), Fault> {
    match node.value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| !(FREE_TEXT.contains(&name.as_str()) && value.is_string()))
            .try_for_each(|(name, value)| unread(&node.child(value, node.field_path(name)), seen)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .try_for_each(|(index, value)| unread(&node.child(value, node.item_path(index, value)), seen)),
        _ if seen.contains(&std::ptr::from_ref(node.value)) => Ok(()),
        _ => Err(node.malformed("not known here, expected only fields that are compared".to_string())),
    }
}

// === impl Node ===

impl<'a> Node<'a> {
    /// The document.
    #[must_use]
    pub fn root(value: &'a Value, seen: &'a Seen) -> Self {
        Self { value, path: String::new(), seen }
    }

    /// The field `name`.
    ///
    /// # Errors
    /// It is missing, or this is no object.
    pub fn field(&self, name: &str) -> Result<Self, Fault> {
        let found = self.optional(name)?;
        found.ok_or_else(|| self.malformed(format!("field `{name}` is missing")))
    }

    /// The field `name`, when it is there.
    ///
    /// # Errors
    /// This is no object.
    pub fn optional(&self, name: &str) -> Result<Option<Self>, Fault> {
        let Value::Object(fields) = self.value else { return self.expected("an object") };
        Ok(fields.get(name).map(|value| self.child(value, self.field_path(name))))
    }

    /// The fields of an object that has at least one, in the order of their names, free text left out.
    ///
    /// # Errors
    /// This is no object, or an empty one.
    pub fn fields(&self) -> Result<Vec<(&'a str, Self)>, Fault> {
        let Value::Object(fields) = self.value else { return self.expected("an object") };
        let fields = fields.iter().filter(|(name, _)| !FREE_TEXT.contains(&name.as_str()));
        let fields: Vec<_> =
            fields.map(|(name, value)| (name.as_str(), self.child(value, self.field_path(name)))).collect();
        if fields.is_empty() {
            return Err(self.malformed("found an empty object, expected at least one field".to_string()));
        }
        Ok(fields)
    }

    /// The items of a list that has at least one.
    ///
    /// # Errors
    /// This is no list, or an empty one.
    pub fn items(&self) -> Result<Vec<Self>, Fault> {
        let Value::Array(items) = self.value else { return self.expected("a list") };
        if items.is_empty() {
            return Err(self.malformed("found an empty list, expected at least one item".to_string()));
        }
        let item = |(index, value)| self.child(value, self.item_path(index, value));
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list that may have none.
    ///
    /// # Errors
    /// This is no list.
    pub fn any_items(&self) -> Result<Vec<Self>, Fault> {
        if self.value.as_array().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        self.items()
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// This is something else.
    pub fn natural(&self) -> Result<u64, Fault> {
        self.leaf(Value::as_u64, "an unsigned integer")
    }

    /// An unsigned integer that fits `T`.
    ///
    /// # Errors
    /// This is something else, or too large, or 0 where that is not allowed.
    pub fn count<T: TryFrom<u64>>(&self) -> Result<T, Fault> {
        let fits = |value: &Value| T::try_from(value.as_u64()?).ok();
        self.leaf(fits, &format!("an integer that fits {}", std::any::type_name::<T>()))
    }

    /// A number.
    ///
    /// # Errors
    /// This is something else.
    pub fn number(&self) -> Result<f64, Fault> {
        self.leaf(Value::as_f64, "a number")
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// This is something else.
    pub fn boolean(&self) -> Result<bool, Fault> {
        self.leaf(Value::as_bool, "true or false")
    }

    /// A text.
    ///
    /// # Errors
    /// This is something else.
    pub fn text(&self) -> Result<&'a str, Fault> {
        self.leaf(Value::as_str, "a text")
    }

    /// The bytes that a text spells in hexadecimal.
    ///
    /// # Errors
    /// This is something else.
    pub fn bytes(&self) -> Result<Vec<u8>, Fault> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let parse = |text: &str| {
            (text.len() % 2 == 0 && text.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| text.as_bytes().chunks(2).map(byte).collect())?
        };
        self.leaf(|value| value.as_str().and_then(parse), "bytes in hexadecimal")
    }

    /// What `read` makes of the text.
    ///
    /// # Errors
    /// This is something else.
    pub fn parsed<T>(&self, read: impl Fn(&str) -> Option<T>, what: &str) -> Result<T, Fault> {
        self.leaf(|value| value.as_str().and_then(&read), what)
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.read_whole();
        self.value.is_null()
    }

    /// Compares our answer with this value: same type, same value.
    ///
    /// # Errors
    /// They differ.
    pub fn is(&self, got: impl Into<Value>) -> Result<(), Fault> {
        let got = got.into();
        self.read_whole();
        if *self.value == got {
            Ok(())
        } else {
            Err(self.wrong(self.value, &got))
        }
    }

    /// Compares our answer with this number, up to one millionth of it or `slack`.
    ///
    /// # Errors
    /// They differ by more.
    pub fn is_about(&self, got: f64, slack: f64) -> Result<(), Fault> {
        let expected = self.number()?;
        if (expected - got).abs() <= slack.max(expected.abs() * 1e-6) {
            Ok(())
        } else {
            Err(self.wrong(expected, got))
        }
    }

    /// All of it as it stands, for what is read by the code under test alone.
    #[must_use]
    pub fn raw(&self) -> &'a Value {
        self.read_whole();
        self.value
    }

    /// Our answer is not this value.
    #[must_use]
    pub fn wrong(&self, expected: impl fmt::Display, got: impl fmt::Display) -> Fault {
        Fault::Wrong { at: self.path.clone(), expected: expected.to_string(), got: got.to_string() }
    }

    /// This value is not as it should be.
    #[must_use]
    pub fn malformed(&self, what: String) -> Fault {
        Fault::Malformed { at: self.path.clone(), what }
    }

    fn leaf<T>(&self, read: impl Fn(&'a Value) -> Option<T>, what: &str) -> Result<T, Fault> {
        self.read_whole();
        read(self.value).map_or_else(|| self.expected(what), Ok)
    }

    fn expected<T>(&self, what: &str) -> Result<T, Fault> {
        let found = match self.value {
            Value::Array(_) => "a list".to_string(),
            Value::Object(_) => "an object".to_string(),
            leaf => leaf.to_string(),
        };
        Err(self.malformed(format!("found {found}, expected {what}")))
    }

    fn read_whole(&self) {
        fn mark(value: &Value, seen: &mut HashSet<*const Value>) {
            seen.insert(std::ptr::from_ref(value));
            match value {
                Value::Array(items) => items.iter().for_each(|item| mark(item, seen)),
                Value::Object(fields) => fields.values().for_each(|item| mark(item, seen)),
                _ => {}
            }
        }
        mark(self.value, &mut self.seen.borrow_mut());
    }

    fn child(&self, value: &'a Value, path: String) -> Self {
        Self { value, path, seen: self.seen }
    }

    fn field_path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// `cases[2]`, with its name if it has one.
    fn item_path(&self, index: usize, item: &Value) -> String {
        match item.get("name").and_then(Value::as_str) {
            Some(name) => format!("{}[{index} {name}]", self.path),
            None => format!("{}[{index}]", self.path),
        }
    }
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { at, what } if at.is_empty() => f.write_str(what),
            Self::Malformed { at, what } => write!(f, "{at}: {what}"),
            Self::Wrong { at, expected, got } => write!(f, "{at}: expected {expected}, got {got}"),
        }
    }
}
