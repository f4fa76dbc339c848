//! A field: its definition and the type that it is read as, which are one value and cannot disagree.

use alloc::borrow::ToOwned;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt;
use core::marker::PhantomData;

use super::definition::{Absent, Def, Form, Kind, Literal, Misfit, Names, Table, Text};
use crate::time::Span;

/// A field that is read as a `T`.
///
/// ```
/// use tidegate_policy::config::{document, Field, Table};
///
/// static CALLS: Field<u32> = Field::integer("calls", 1, 100, "calls").or_number(20).says("How many.");
/// static TABLE: Table = Table::new("example", &[CALLS.def()]);
///
/// let calls = |json: &str| document(json.as_bytes(), |reader| reader.checked(&TABLE)?.get(&CALLS));
/// assert_eq!(calls("{}"), Ok(20));
/// assert_eq!(calls(r#"{"calls": 7}"#), Ok(7));
/// let problems = calls(r#"{"calls": 0}"#).unwrap_err().to_string();
/// assert_eq!(problems, "calls: 0 calls is out of range, expected 1 to 100 calls");
/// ```
pub struct Field<T: ?Sized> {
    def: Def,
    read_as: PhantomData<fn() -> *const T>,
}

/// A value that a field can be read as.
pub trait Value {
    /// The value, which may borrow from the document.
    type Of<'a>;
    /// The largest number that it can be made of.
    const MOST: u64 = 0;
    /// The value of what stands in the document; `None` when it is of another kind.
    fn of(raw: Raw<'_>) -> Option<Self::Of<'_>>;
}

/// One of a few words, each standing for a value; `choices!` makes one.
pub trait Choice: Value {
    /// The words.
    const WORDS: &'static [&'static str];
}

/// A value that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// `true` or `false`.
    Boolean(bool),
    /// A number; of a duration, its milliseconds.
    Number(u64),
    /// A text.
    Text(&'a str),
    /// The place of a word among those of a choice.
    Word(usize),
}

/// An object of a table's fields.
pub enum Inner {}
/// A document in a document, with its own reader.
pub enum Part {}
/// A list of objects, or of values that their own reader takes apart.
pub enum Items {}
/// A list of simple values.
pub struct List<T: ?Sized>(PhantomData<T>);
/// An object whose field names are the user's own.
pub enum Map {}
/// `true`, `false`, or an object of a table's fields, which is short for `true` with these.
pub enum Switch {}
/// A word of a choice, read as its place among them.
pub enum Place {}
/// What takes two kinds of values, which its reader tells apart.
pub enum Either {}
/// What is never there.
pub enum Never {}

// === impl Field ===

impl<T: ?Sized> Field<T> {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            def: Def {
                name,
                kind,
                absent: Absent::Nothing,
                #[cfg(feature = "reference")]
                says: "",
                #[cfg(feature = "reference")]
                absent_says: "",
            },
            read_as: PhantomData,
        }
    }

    /// The definition.
    #[must_use]
    pub const fn def(&self) -> &Def {
        &self.def
    }

    /// What it means, for people: it is dropped without the feature `reference`.
    #[must_use]
    #[cfg_attr(not(feature = "reference"), expect(unused_mut, unused_variables, reason = "for people"))]
    pub const fn says(mut self, text: &'static str) -> Self {
        #[cfg(feature = "reference")]
        {
            self.def.says = text;
        }
        self
    }

    /// What its absence means, for people, when it is no value.
    #[must_use]
    #[cfg_attr(not(feature = "reference"), expect(unused_mut, unused_variables, reason = "for people"))]
    pub const fn or_says(mut self, text: &'static str) -> Self {
        #[cfg(feature = "reference")]
        {
            self.def.absent_says = text;
        }
        self
    }

    /// Its absence is a problem.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.def.absent = Absent::Required;
        self
    }

    const fn usual(mut self, value: Literal) -> Self {
        self.def.absent = Absent::Usual(value);
        self
    }

    /// Its absence is the same as this number; of a duration, of milliseconds.
    #[must_use]
    pub const fn or_number(self, value: u64) -> Self {
        self.usual(Literal::Number(value))
    }

    /// Its absence is the same as this text, or this word of a choice.
    #[must_use]
    pub const fn or_text(self, value: &'static str) -> Self {
        self.usual(Literal::Text(value))
    }

    /// Its absence is the same as this.
    #[must_use]
    pub const fn or_flag(self, value: bool) -> Self {
        self.usual(Literal::Boolean(value))
    }

    /// Its absence is the same as this list.
    #[must_use]
    pub const fn or_list(self, value: &'static [Literal]) -> Self {
        self.usual(Literal::List(value))
    }

    /// It is of a kind that several fields share.
    #[must_use]
    pub const fn of(name: &'static str, kind: Kind) -> Self {
        Self::new(name, kind)
    }
}

impl<T: Value + ?Sized> Field<T> {
    /// A whole number; `unit` is a plural such as `requests`, or empty.
    #[must_use]
    pub const fn integer(name: &'static str, least: u32, most: u64, unit: &'static str) -> Self {
        assert!(least as u64 <= most && most <= T::MOST, "the type has no room for the largest value");
        Self::new(name, Kind::Integer { least, most, unit })
    }

    /// A whole number of hundredths.
    #[must_use]
    pub const fn percent(name: &'static str, least: u32, most: u64) -> Self {
        Self::integer(name, least, most, "%")
    }

    /// A time in milliseconds.
    #[must_use]
    pub const fn duration(name: &'static str, least_ms: u32, most_ms: u64) -> Self {
        assert!(
            least_ms as u64 <= most_ms && most_ms <= T::MOST,
            "the type has no room for the largest value"
        );
        Self::new(name, Kind::Duration { least: least_ms, most: most_ms })
    }

    /// A text of 1 to `most` bytes.
    #[must_use]
    pub const fn text(name: &'static str, most: u16) -> Self {
        Self::new(name, Kind::text(most))
    }

    /// A text that no message shows.
    #[must_use]
    pub const fn secret(
        name: &'static str,
        called: &'static str,
        least: u16,
        most: u16,
        form: &'static Form,
    ) -> Self {
        Self::new(name, Kind::Text(Text { called, least, most, form, secret: true }))
    }
}

impl Field<bool> {
    /// `true` or `false`; its absence is the same as `usual`.
    #[must_use]
    pub const fn boolean(name: &'static str, usual: bool) -> Self {
        Self::new(name, Kind::Boolean).or_flag(usual)
    }
}

impl<T: Choice> Field<T> {
    /// One of a few words.
    #[must_use]
    pub const fn choice(name: &'static str) -> Self {
        Self::new(name, Kind::Choice(T::WORDS))
    }
}

impl Field<Inner> {
    /// An object.
    #[must_use]
    pub const fn object(name: &'static str, table: &'static Table) -> Self {
        Self::new(name, Kind::Object(table))
    }
}

impl Field<Part> {
    /// A document of its own.
    #[must_use]
    pub const fn part(name: &'static str, table: &'static Table) -> Self {
        Self::new(name, Kind::Part(table))
    }
}

impl Field<Items> {
    /// A list of `least` to `most` items.
    #[must_use]
    pub const fn items(
        name: &'static str,
        of: &'static Kind,
        least: u16,
        most: u16,
        called: &'static str,
    ) -> Self {
        Self::new(name, Kind::List { of, least, most, called })
    }
}

impl<T: Value + ?Sized> Field<List<T>> {
    /// A list of `least` to `most` simple values.
    #[must_use]
    pub const fn list(
        name: &'static str,
        of: &'static Kind,
        least: u16,
        most: u16,
        called: &'static str,
    ) -> Self {
        Self::new(name, Kind::List { of, least, most, called })
    }
}

impl Field<Switch> {
    /// What is on unless it is `false`; an object of this kind has its fields.
    #[must_use]
    pub const fn switch(name: &'static str, object: &'static Kind) -> Self {
        Self::new(name, Kind::Either(&Kind::Boolean, object)).or_flag(true)
    }
}

impl Field<Map> {
    /// An object whose field names are the user's own.
    #[must_use]
    pub const fn map(name: &'static str, names: &'static Names) -> Self {
        Self::new(name, Kind::Map(names))
    }
}

impl Field<Never> {
    /// A field that other products have.
    #[must_use]
    pub const fn never(name: &'static str, misfit: &'static Misfit) -> Self {
        Self::new(name, Kind::Never(misfit))
    }
}

/// Its name.
impl<T: ?Sized> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.def.name)
    }
}

// === values ===

macro_rules! whole {
    ($($type:ty),+) => {$(
        impl Value for $type {
            type Of<'a> = Self;
            const MOST: u64 = <$type>::MAX as u64;

            fn of(raw: Raw<'_>) -> Option<Self> {
                match raw {
                    Raw::Number(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )+};
}
whole!(u8, u16, u32, u64, usize);

impl Value for Place {
    type Of<'a> = usize;

    fn of(raw: Raw<'_>) -> Option<usize> {
        match raw {
            Raw::Word(at) => Some(at),
            _ => None,
        }
    }
}

impl Value for bool {
    type Of<'a> = Self;

    fn of(raw: Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Boolean(value) => Some(value),
            _ => None,
        }
    }
}

impl Value for Span {
    type Of<'a> = Self;
    const MOST: u64 = u64::MAX / 1_000_000;

    fn of(raw: Raw<'_>) -> Option<Self> {
        u64::of(raw).map(Self::from_millis)
    }
}

impl Value for str {
    type Of<'a> = &'a Self;

    fn of(raw: Raw<'_>) -> Option<&Self> {
        match raw {
            Raw::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Value for String {
    type Of<'a> = Self;

    fn of(raw: Raw<'_>) -> Option<Self> {
        str::of(raw).map(ToOwned::to_owned)
    }
}

impl Value for Rc<str> {
    type Of<'a> = Self;

    fn of(raw: Raw<'_>) -> Option<Self> {
        str::of(raw).map(Self::from)
    }
}

/// Makes an enum a [`Choice`]: `choices!(Mode { "enforce" => Mode::Enforce, "observe" => Mode::Observe });`
macro_rules! choices {
    ($type:ty { $($word:literal => $value:expr),+ $(,)? }) => {
        impl $crate::config::Choice for $type {
            const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl $crate::config::Value for $type {
            type Of<'a> = Self;

            fn of(raw: $crate::config::Raw<'_>) -> Option<Self> {
                match raw {
                    $crate::config::Raw::Word(at) => [$($value),+].get(at).copied(),
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use choices;
