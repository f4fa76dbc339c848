//! What a document may say, as data: kinds of values and tables of fields.
//!
//! A [`Table`] is all there is to know about an object. The document is checked by it (`check.rs`), and
//! the JSON Schema and the reference are printed from it. What a field means to people, its
//! sentence, is dropped unless the feature `reference` is on, so that no module carries it.

/// A field without the type that it is read as; [`Field`](super::Field) has that.
#[derive(Debug)]
pub struct Def {
    /// Its name in the document.
    pub name: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// What its absence means.
    pub absent: Absent,
    /// What it means, for people.
    #[cfg(feature = "reference")]
    pub says: &'static str,
    /// What its absence means, for people, when it is no value.
    #[cfg(feature = "reference")]
    pub absent_says: &'static str,
}

/// What the absence of a field means.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// Nothing, or what the policy makes of it.
    Nothing,
    /// It is a problem.
    Required,
    /// The same as this value.
    Usual(Literal),
}

/// A value that stands in a definition.
#[derive(Clone, Copy, Debug)]
pub enum Literal {
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    List(&'static [Literal]),
    /// A number.
    Number(u64),
    /// A text, or the word of a choice.
    Text(&'static str),
}

/// What a value may be.
#[derive(Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Milliseconds, as a whole number or as a text such as `10s`.
    Duration {
        /// The shortest.
        least: u32,
        /// The longest.
        most: u64,
    },
    /// One of two kinds that differ in the type of their JSON.
    Either(&'static Kind, &'static Kind),
    /// A whole number.
    Integer {
        /// The smallest.
        least: u32,
        /// The largest.
        most: u64,
        /// A plural such as `requests`, or empty.
        unit: &'static str,
    },
    /// A list; a value that is no list stands for a list of it alone.
    List {
        /// What each item is.
        of: &'static Kind,
        /// The fewest items.
        least: u16,
        /// The most items.
        most: u16,
        /// What the items are called.
        called: &'static str,
    },
    /// An object whose field names are the user's own.
    Map(&'static Names),
    /// Nothing: a field that other products have; with what is wrong and what to use instead.
    Never(&'static Misfit),
    /// An object of these fields.
    Object(&'static Table),
    /// An object of these fields, which its own reader holds against them: a document of its own.
    Part(&'static Table),
    /// A text.
    Text(Text),
}

/// An object whose field names are the user's own.
#[derive(Debug)]
pub struct Names {
    /// What each name is.
    pub names: Text,
    /// What each value is.
    pub of: Kind,
    /// The fewest fields.
    pub least: u16,
    /// The most fields.
    pub most: u16,
    /// What the fields are called.
    pub called: &'static str,
}

/// What a text may be.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// What it is called when something else is found: `a name`.
    pub called: &'static str,
    /// The fewest bytes.
    pub least: u16,
    /// The most bytes.
    pub most: u16,
    /// What it must be like.
    pub form: &'static Form,
    /// Whether no message may show what was found.
    pub secret: bool,
}

/// What a text must be like.
#[derive(Debug)]
pub struct Form {
    /// What is wrong with a text, if anything is.
    pub wrong: fn(&str) -> Option<Misfit>,
    /// The same as a regular expression of ECMA-262; empty when there is none that says less than all.
    #[cfg(feature = "reference")]
    pub pattern: &'static str,
    /// Whether the pattern says all of it.
    #[cfg(feature = "reference")]
    pub exact: bool,
}

/// Why a text does not have its form: `"a b" is not a name`, and what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What follows the text in the message: `is not a name`.
    pub found: &'static str,
    /// What would be right.
    pub expected: &'static str,
}

/// An object: its fields and how they go together.
#[derive(Debug)]
pub struct Table {
    /// Its fields in the order of the reference.
    pub fields: &'static [&'static Def],
    /// Fields of which only some may stand together.
    pub groups: &'static [Group],
    /// Fields whose name alone, as a text, is short for an object with that field and its defaults.
    pub words: &'static [&'static str],
    /// Its name in the reference.
    #[cfg(feature = "reference")]
    pub id: &'static str,
}

/// Fields of which only some may stand together.
#[derive(Debug)]
pub struct Group {
    /// Their names.
    pub fields: &'static [&'static str],
    /// Whether one must be there.
    pub required: bool,
    /// Whether at most one may be there.
    pub exclusive: bool,
    /// What is said of an object that lacks all of them.
    pub lacking: &'static str,
}

/// Any text.
pub static ANY: Form = Form::new(|_| None, "", true);
/// Visible ASCII and spaces between: what can stand in a header.
pub static VISIBLE: Form = Form::new(
    |text| {
        let visible = text.bytes().all(|b| (b' '..=b'~').contains(&b)) && text.trim() == text;
        (!visible).then_some(Misfit { found: "is not a header value", expected: "visible ASCII" })
    },
    "^[!-~]([ -~]*[!-~])?$",
    true,
);

/// Texts of 1 to 256 bytes.
pub const TEXT: Kind = Kind::text(256);
/// Up to 32 such texts, by names of the user's own.
pub static PAIRS: Names =
    Names { names: Text::new("a name", 256, &ANY), of: TEXT, least: 0, most: 32, called: "fields" };
/// The name of a cluster of Envoy's, as it stands in a header.
pub const CLUSTER: Kind = Kind::formed("the name of a cluster", 256, &VISIBLE);

/// The definitions of several lists in one, for a table whose fields are defined in several places.
///
/// # Panics
/// `N` is not the number of all: a constant that does not compile.
#[must_use]
#[expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated when compiled")]
pub const fn joined<const N: usize>(lists: &[&[&'static Def]]) -> [&'static Def; N] {
    let mut all = [lists[0][0]; N];
    let (mut at, mut list) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            all[at] = lists[list][index];
            at += 1;
            index += 1;
        }
        list += 1;
    }
    assert!(at == N, "the number of all fields");
    all
}

// === impl Kind ===

impl Kind {
    /// Texts of 1 to `most` bytes.
    #[must_use]
    pub const fn text(most: u16) -> Self {
        Self::Text(Text::new("a text", most, &ANY))
    }

    /// Texts of 1 to `most` bytes that have a `form` and are `called` something.
    #[must_use]
    pub const fn formed(called: &'static str, most: u16, form: &'static Form) -> Self {
        Self::Text(Text::new(called, most, form))
    }

    /// Whole numbers.
    #[must_use]
    pub const fn integer(least: u32, most: u64, unit: &'static str) -> Self {
        Self::Integer { least, most, unit }
    }
}

// === impl Text ===

impl Text {
    /// A text of 1 to `most` bytes.
    #[must_use]
    pub const fn new(called: &'static str, most: u16, form: &'static Form) -> Self {
        Self { called, least: 1, most, form, secret: false }
    }
}

// === impl Form ===

impl Form {
    /// A form and its `pattern`, which says all of it if it is `exact`.
    #[must_use]
    #[cfg_attr(not(feature = "reference"), expect(unused_variables, reason = "only people read patterns"))]
    pub const fn new(wrong: fn(&str) -> Option<Misfit>, pattern: &'static str, exact: bool) -> Self {
        Self {
            wrong,
            #[cfg(feature = "reference")]
            pattern,
            #[cfg(feature = "reference")]
            exact,
        }
    }
}

// === impl Table ===

impl Table {
    /// An object of these fields, under its name in the reference.
    #[must_use]
    #[cfg_attr(not(feature = "reference"), expect(unused_variables, reason = "only people read names"))]
    pub const fn new(id: &'static str, fields: &'static [&'static Def]) -> Self {
        Self {
            fields,
            groups: &[],
            words: &[],
            #[cfg(feature = "reference")]
            id,
        }
    }

    /// With fields of which only some may stand together.
    #[must_use]
    pub const fn groups(mut self, groups: &'static [Group]) -> Self {
        self.groups = groups;
        self
    }

    /// With fields whose name alone is short for them.
    #[must_use]
    pub const fn words(mut self, words: &'static [&'static str]) -> Self {
        self.words = words;
        self
    }
}

// === impl Group ===

impl Group {
    /// Exactly one of these.
    #[must_use]
    pub const fn one_of(fields: &'static [&'static str], lacking: &'static str) -> Self {
        Self { fields, required: true, exclusive: true, lacking }
    }

    /// At least one of these.
    #[must_use]
    pub const fn some_of(fields: &'static [&'static str], lacking: &'static str) -> Self {
        Self { fields, required: true, exclusive: false, lacking }
    }

    /// At most one of these.
    #[must_use]
    pub const fn not_both(fields: &'static [&'static str]) -> Self {
        Self { fields, required: false, exclusive: true, lacking: "" }
    }
}
