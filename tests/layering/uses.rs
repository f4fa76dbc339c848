//! Which file of a crate uses which, where the methods of a type stand, and who tells variants apart.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, ItemImpl, ItemMod, ItemUse, Macro, Type, Visibility};

use super::tree::{leaves, Tree};

/// What one walk over all files of a crate finds, by the names of files.
#[derive(Default)]
pub(crate) struct Uses {
    /// Who uses whom.
    pub(crate) arrows: BTreeMap<String, BTreeSet<String>>,
    /// Files with inherent impls of a type, by the type.
    pub(crate) impls: BTreeMap<String, BTreeSet<String>>,
    /// Files with a pattern that names this variant, by `Type::Variant` and the type's file.
    pub(crate) patterns: BTreeMap<(String, String), BTreeSet<String>>,
}

struct Walk<'a> {
    tree: &'a Tree,
    file: usize,
    module: Vec<String>,
    /// The type whose impl this is.
    own: Option<String>,
    found: &'a mut Uses,
}

/// All of a crate.
pub(crate) fn of(tree: &Tree) -> Uses {
    let mut found = Uses::default();
    for (file, source) in tree.files.iter().enumerate() {
        let module = source.module.clone();
        let mut walk = Walk { tree, file, module, own: None, found: &mut found };
        source.items.iter().for_each(|item| walk.visit_item(item));
    }
    found
}

/// Groups of files of which each, over others of the group, uses itself.
pub(crate) fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        arrows.keys().map(|from| (from, reached(arrows, from))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (from, to) in &reach {
        let back = to.iter().filter(|other| reach.get(*other).is_some_and(|theirs| theirs.contains(from)));
        let circle: BTreeSet<String> = back.map(|name| (*name).clone()).collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reached<'a>(arrows: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&String> = arrows.get(from).into_iter().flatten().collect();
    while let Some(name) = next.pop() {
        if found.insert(name) {
            next.extend(arrows.get(name).into_iter().flatten());
        }
    }
    found
}

// === impl Walk ===

impl Walk<'_> {
    fn name(&self, file: usize) -> String {
        self.tree.files[file].name.clone()
    }

    fn arrow(&mut self, path: &[String]) {
        if let Some(to) = self.tree.file_of(&self.module, path).filter(|to| *to != self.file) {
            let (from, to) = (self.name(self.file), self.name(to));
            self.found.arrows.entry(from).or_default().insert(to);
        }
    }

    /// `Type::Variant` in a pattern.
    fn pattern(&mut self, path: &[String]) {
        let [before @ .., variant] = path else { return };
        let of_own = before == ["Self"];
        let own = self.own.iter().cloned().collect::<Vec<_>>();
        let before = if of_own { &own } else { before };
        if before.is_empty() || !variant.starts_with(|c: char| c.is_ascii_uppercase()) {
            return;
        }
        if let Some((file, name)) = self.tree.place_of(&self.module, before) {
            let key = (format!("{name}::{variant}"), self.name(file));
            let here = self.name(self.file);
            self.found.patterns.entry(key).or_default().insert(here);
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    /// Passing on what stands below is not using it.
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let passes_on = !matches!(item.vis, Visibility::Inherited);
        let mut paths = Vec::new();
        leaves(&item.tree, &mut Vec::new(), &mut |_, path| paths.push(path));
        for path in paths {
            let own = self.tree.files[self.file].module.clone();
            let to = self.tree.file_of(&self.module, &path);
            let below = to.is_some_and(|to| self.tree.files[to].module.starts_with(&own));
            if !(passes_on && below) {
                self.arrow(&path);
            }
        }
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let own = match &*item.self_ty {
            Type::Path(ty) => Some(names(&ty.path)),
            _ => None,
        };
        self.own = own.as_ref().and_then(|path| path.last().cloned());
        if let (Some(path), None) = (&own, &item.trait_) {
            if let Some((file, name)) = self.tree.place_of(&self.module, path) {
                let key = format!("{name} of {}", self.name(file));
                let here = self.name(self.file);
                self.found.impls.entry(key).or_default().insert(here);
            }
        }
        visit::visit_item_impl(self, item);
        self.own = None;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let all = names(path);
        if all.len() > 1 {
            self.arrow(&all);
        }
        visit::visit_path(self, path);
    }

    fn visit_pat(&mut self, pat: &'ast syn::Pat) {
        match pat {
            syn::Pat::Path(pat) => self.pattern(&names(&pat.path)),
            syn::Pat::Struct(pat) => self.pattern(&names(&pat.path)),
            syn::Pat::TupleStruct(pat) => self.pattern(&names(&pat.path)),
            _ => {}
        }
        visit::visit_pat(self, pat);
    }

    /// The paths in what a macro is given.
    fn visit_macro(&mut self, mac: &'ast Macro) {
        let text = mac.tokens.to_string();
        let is_match = mac.path.is_ident("matches");
        for path in paths_in(&text) {
            self.arrow(&path);
            if is_match {
                self.pattern(&path);
            }
        }
    }
}

fn names(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}

/// `a :: b` among tokens.
fn paths_in(tokens: &str) -> Vec<Vec<String>> {
    let spaced = tokens.replace("::", " :: ");
    let mut paths = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut joins = false;
    for word in spaced.split_whitespace().chain([";"]) {
        let name = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        if word == "::" {
            joins = !path.is_empty();
            continue;
        }
        if !joins {
            if path.len() > 1 {
                paths.push(std::mem::take(&mut path));
            }
            path.clear();
        }
        joins = false;
        if !name.is_empty() {
            path.push(name.to_owned());
        }
    }
    if path.len() > 1 {
        paths.push(path);
    }
    paths
}
