//! Reading a document that was held against its table.
//!
//! [`Reader::checked`] reports all that a table can say of the document; behind it, a field is taken by
//! its definition, and `None` stands for what was reported. What is left to report are rules between
//! several fields. [`document`] makes a policy of the result only when nothing was reported, so a `None`
//! on the way needs no message of its own.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::check;
use super::definition::{Absent, Def, Kind, Literal, Table};
use super::field::{Field, Inner, Items, List, Map, Raw, Switch, Value};
use super::json::{not_json, right, Json};
use super::problem::{Cause, ConfigError, Path, Problems};
use crate::hash::xxh64::xxh64;

/// A value of the document.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub(super) json: &'a Json,
    pub(super) document: &'a Document,
}

/// An object of the document, or the absence of one, which has the defaults of all its fields.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    fields: &'a [(String, Json)],
    /// Itself; when it is absent, the innermost value around it that is not.
    place: &'a Json,
    /// The field of `place` that is absent; empty when the object is there.
    absent: &'static str,
    document: &'a Document,
}

/// The whole document, and what is wrong with it. Where a value stands is looked up when something is
/// wrong with it: to carry paths along would cost a module more than all that is read here.
pub(super) struct Document {
    root: Json,
    problems: Problems,
}

/// Parses `bytes` and reads them with `read`.
///
/// # Errors
/// Every problem that was reported, or the one syntax error.
pub fn document<T>(bytes: &[u8], read: impl FnOnce(&Reader<'_>) -> Option<T>) -> Result<T, ConfigError> {
    let json = Json::parse(bytes)
        .map_err(|why| ConfigError::one(Path::root(), not_json(bytes, &why), right(bytes)))?;
    let document = Document { root: json, problems: Problems::default() };
    let value = read(&Reader { json: &document.root, document: &document });
    match (value, document.problems.into_error()) {
        (Some(value), None) => Ok(value),
        (None, None) => Err(ConfigError::one(Path::root(), "is not usable".to_string(), "another document")),
        (_, Some(error)) => Err(error),
    }
}

/// All values, unless one is missing. A loop: what `collect` makes of it is three times as large.
pub fn all<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for value in values {
        all.push(value?);
    }
    Some(all)
}

/// Collects what was read, going through all items so that each reports its problems.
pub fn collect<T>(list: Option<Vec<T>>, item: Option<T>) -> Option<Vec<T>> {
    match (list, item) {
        (Some(mut list), Some(item)) => {
            list.push(item);
            Some(list)
        }
        _ => None,
    }
}

/// A number by which objects are told from others that differ in one of these fields.
#[inline(never)]
#[must_use]
pub fn identity(objects: &[Reader<'_>], fields: &[&Def]) -> u64 {
    let of = |object: &Reader<'_>, def: &Def| Some(object.object()?.find(def)?.fingerprint());
    let numbers =
        objects.iter().flat_map(|object| fields.iter().map(move |def| of(object, def).unwrap_or(0)));
    numbers.fold(0, |hash, number| xxh64(&number.to_le_bytes(), hash))
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reports all that a kind can say of the value.
    pub fn check(&self, kind: &Kind) {
        check::check(kind, self.json, &self.path(), &self.document.problems);
    }

    /// The object that stands here, once all that its table says of it was checked and reported.
    /// `None` when it is no object.
    #[inline(never)]
    #[must_use]
    pub fn checked(&self, table: &Table) -> Option<Object<'a>> {
        check::check_table(table, self.json, &self.path(), &self.document.problems);
        self.object()
    }

    /// The object that stands here, which was checked as a part of the one around it.
    #[inline(never)]
    #[must_use]
    pub fn object(&self) -> Option<Object<'a>> {
        let Json::Object(fields) = self.json else { return None };
        Some(Object { fields, place: self.json, absent: "", document: self.document })
    }

    /// Where this value stands.
    #[must_use]
    pub fn path(&self) -> Path {
        self.document.root.path_of(self.json)
    }

    /// Reports that this value breaks a rule.
    #[inline(never)]
    pub fn report(&self, found: String, expected: impl Into<Cow<'static, str>>) {
        self.report_under(None, found, expected.into());
    }

    /// The same of a field of this object, if one is named.
    #[inline(never)]
    pub(super) fn report_under(&self, field: Option<&str>, found: String, expected: Cow<'static, str>) {
        let path = field.map_or_else(|| self.path(), |name| self.path().field(name));
        self.document.problems.push(path, found, expected, Cause::Rule);
    }

    /// A number by which this value is told from others: equal values have equal ones, wherever they
    /// stand and however they are spaced.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.json.fingerprint()
    }

    /// Whether the value is an object, for what takes two kinds.
    #[must_use]
    pub fn is_object(&self) -> bool {
        matches!(self.json, Json::Object(_))
    }

    /// The value by a kind; `None` when it was reported.
    #[must_use]
    pub fn value<T: Value + ?Sized>(&self, kind: &Kind) -> Option<T::Of<'a>> {
        check::raw(kind, self.json).and_then(T::of)
    }

    /// The items of a list; a value that is no list is a list of it alone.
    #[inline(never)]
    #[must_use]
    pub fn items(&self) -> Vec<Self> {
        match self.json {
            Json::Array(items) => items.iter().map(|json| Reader { json, ..*self }).collect(),
            _ => alloc::vec![*self],
        }
    }

    /// Of an object with one of a table's fields: which, and the object. A word stands for an object
    /// with nothing in its field.
    #[inline(never)]
    #[must_use]
    pub fn tagged(&self, table: &Table) -> Option<(&'static str, Object<'a>)> {
        if let Json::Text(text) = self.json {
            let word = table.words.iter().find(|word| *word == text)?;
            return Some((
                word,
                Object { fields: &[], place: self.json, absent: "", document: self.document },
            ));
        }
        let object = self.object()?;
        let def = table.fields.iter().find(|def| object.find(def).is_some())?;
        Some((def.name, object))
    }

    /// The text of a field, without a word about anything; for telling duplicates.
    #[must_use]
    pub fn text_of(&self, field: &Field<str>) -> Option<&'a str> {
        self.object()?.get(field)
    }
}

// === impl Object ===

impl<'a> Object<'a> {
    /// The document that this object is, or is in.
    #[must_use]
    pub fn whole(&self) -> Option<Self> {
        let document = self.document;
        Reader { json: &document.root, document }.object()
    }

    /// Whether the field is there and not `null`.
    #[inline]
    #[must_use]
    pub fn has<T: ?Sized>(&self, field: &Field<T>) -> bool {
        self.find(field.def()).is_some()
    }

    /// The field as it stands there, if it does.
    #[must_use]
    pub fn reader<T: ?Sized>(&self, field: &Field<T>) -> Option<Reader<'a>> {
        self.reader_of(field.def())
    }

    /// The field, or its default. `None` when it was reported, and of a field without a default also
    /// when it is absent.
    #[inline]
    #[must_use]
    pub fn get<T: Value + ?Sized>(&self, field: &Field<T>) -> Option<T::Of<'a>> {
        self.raw(field.def()).and_then(T::of)
    }

    /// The field, if it is there. `None` only when it was reported.
    #[inline]
    #[must_use]
    pub fn maybe<T: Value + ?Sized>(&self, field: &Field<T>) -> Option<Option<T::Of<'a>>> {
        if self.has(field) {
            self.get(field).map(Some)
        } else {
            Some(None)
        }
    }

    /// The object in the field; without fields when it is absent.
    #[must_use]
    pub fn inner(&self, field: &Field<Inner>) -> Option<Self> {
        self.inner_of(field.def())
    }

    /// The object in the field, if it is there. `None` only when it was reported.
    #[inline(never)]
    #[must_use]
    pub fn maybe_inner(&self, field: &Field<Inner>) -> Option<Option<Self>> {
        if self.has(field) {
            self.inner(field).map(Some)
        } else {
            Some(None)
        }
    }

    /// The object of what is on unless the field is `false`. `Some(None)` is off.
    #[must_use]
    pub fn switch(&self, field: &Field<Switch>) -> Option<Option<Self>> {
        match self.find(field.def()) {
            Some(Json::Bool(on)) => Some(on.then(|| self.nothing(field.def()))),
            _ => self.inner_of(field.def()).map(Some),
        }
    }

    /// The items of a list; none when it is absent, or when it has too few or too many, which was reported.
    #[must_use]
    pub fn items(&self, field: &Field<Items>) -> Vec<Reader<'a>> {
        self.items_of(field.def())
    }

    /// The values of a list, those of its default when it is absent.
    #[inline(never)]
    #[must_use]
    pub fn list<T: Value + ?Sized>(&self, field: &Field<List<T>>) -> Option<Vec<T::Of<'a>>> {
        all(self.raws(field.def())?.into_iter().map(T::of))
    }

    /// The names and values of an object whose names are the user's own; none when it is absent.
    #[must_use]
    pub fn entries(&self, field: &Field<Map>) -> Vec<(&'a str, Reader<'a>)> {
        self.entries_of(field.def())
    }

    /// The names and texts of such an object.
    #[inline(never)]
    #[must_use]
    pub fn pairs(&self, field: &Field<Map>) -> Option<Vec<(&'a str, &'a str)>> {
        let Kind::Map(names) = &field.def().kind else { return None };
        let entries = self.entries(field).into_iter();
        all(entries.map(|(name, reader)| Some((name, reader.value::<str>(&names.of)?))))
    }

    /// Reports that the object breaks a rule.
    #[inline(never)]
    pub fn report(&self, found: String, expected: impl Into<Cow<'static, str>>) {
        self.document.problems.push(self.path(), found, expected.into(), Cause::Rule);
    }

    /// Reports that a field breaks a rule.
    pub fn report_at<T: ?Sized>(
        &self,
        field: &Field<T>,
        found: String,
        expected: impl Into<Cow<'static, str>>,
    ) {
        self.report_field(field.def(), found, expected.into());
    }

    #[inline(never)]
    pub(super) fn report_field(&self, def: &Def, found: String, expected: Cow<'static, str>) {
        self.document.problems.push(self.path().field(def.name), found, expected, Cause::Rule);
    }

    fn path(&self) -> Path {
        let path = self.document.root.path_of(self.place);
        if self.absent.is_empty() {
            path
        } else {
            path.field(self.absent)
        }
    }

    #[inline(never)]
    pub(super) fn find(&self, def: &Def) -> Option<&'a Json> {
        let (_, json) = self.fields.iter().find(|(name, _)| name == def.name)?;
        (*json != Json::Null).then_some(json)
    }

    #[inline(never)]
    fn reader_of(&self, def: &Def) -> Option<Reader<'a>> {
        let json = self.find(def)?;
        Some(Reader { json, document: self.document })
    }

    #[inline(never)]
    fn raw(&self, def: &Def) -> Option<Raw<'a>> {
        match (self.find(def), def.absent) {
            (Some(json), _) => check::raw(&def.kind, json),
            (None, Absent::Usual(value)) => check::usual(&def.kind, value),
            (None, _) => None,
        }
    }

    #[inline(never)]
    fn raws(&self, def: &Def) -> Option<Vec<Raw<'a>>> {
        let Kind::List { of, .. } = &def.kind else { return None };
        let mut raws = Vec::new();
        match (self.find(def), def.absent) {
            (Some(json), _) => {
                let items = if let Json::Array(items) = json { items } else { core::slice::from_ref(json) };
                for item in items {
                    raws.push(check::raw(of, item)?);
                }
            }
            (None, Absent::Usual(Literal::List(values))) => {
                for value in values {
                    raws.push(check::usual(of, *value)?);
                }
            }
            (None, _) => (),
        }
        Some(raws)
    }

    #[inline(never)]
    fn inner_of(&self, def: &Def) -> Option<Self> {
        match self.find(def) {
            Some(place @ Json::Object(fields)) => {
                Some(Object { fields, place, absent: "", document: self.document })
            }
            Some(_) => None,
            None => Some(self.nothing(def)),
        }
    }

    #[inline(never)]
    fn items_of(&self, def: &Def) -> Vec<Reader<'a>> {
        let items = self.reader_of(def).map_or(Vec::new(), |reader| reader.items());
        match &def.kind {
            Kind::List { least, most, .. } if !check::within(items.len(), *least, *most) => Vec::new(),
            _ => items,
        }
    }

    fn nothing(&self, def: &Def) -> Self {
        Self { fields: &[], absent: def.name, ..*self }
    }

    #[inline(never)]
    fn entries_of(&self, def: &Def) -> Vec<(&'a str, Reader<'a>)> {
        match self.find(def) {
            Some(Json::Object(fields)) => {
                let entry = |(name, json): &'a (String, Json)| {
                    (name.as_str(), Reader { json, document: self.document })
                };
                fields.iter().map(entry).collect()
            }
            _ => Vec::new(),
        }
    }
}
