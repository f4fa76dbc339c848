//! The modules of a crate, as far as the rules need them: which file a path leads to.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Attribute, Item, ItemMod, UseTree};

/// The sources of one crate.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    modules: BTreeMap<Vec<String>, Module>,
}

/// A source without its test modules.
pub(crate) struct File {
    /// From the folder `src`.
    pub(crate) name: String,
    pub(crate) module: Vec<String>,
    pub(crate) items: Vec<Item>,
}

#[derive(Default)]
struct Module {
    file: usize,
    defines: BTreeSet<String>,
    /// What `use` calls by which name here, and by which path.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// Imports that lead to imports, at most.
const DEPTH: usize = 16;

// === impl Tree ===

impl Tree {
    /// Of files by their names from the folder `src`.
    pub(crate) fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut parsed: Vec<(String, Vec<String>, Vec<Item>)> = Vec::new();
        for (name, text) in sources {
            let ast = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let items = ast.items;
            parsed.push((name.to_owned(), module_of(name), items));
        }
        let tests: Vec<Vec<String>> =
            parsed.iter().flat_map(|(_, module, items)| modules_of_tests(module, items)).collect();
        parsed.retain(|(_, module, _)| !tests.iter().any(|test| module.starts_with(test)));
        let files: Vec<File> = parsed
            .into_iter()
            .map(|(name, module, items)| File { name, module, items: without_tests(items) })
            .collect();
        let mut modules = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            collect(&mut modules, &file.module, index, &file.items);
        }
        Self { files, modules }
    }

    /// The file in which what a path names is defined; none when it is of another crate. `at` is the
    /// module in which the path stands.
    pub(crate) fn file_of(&self, at: &[String], path: &[String]) -> Option<usize> {
        self.place_of(at, path).map(|(file, _)| file)
    }

    /// As [`file_of`](Self::file_of), with the name by which the file knows it.
    pub(crate) fn place_of(&self, at: &[String], path: &[String]) -> Option<(usize, String)> {
        self.find(&self.absolute(at, path)?, DEPTH)
    }

    /// The path from the root of the crate.
    fn absolute(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut base = at.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while let Some("super") = rest.first().map(String::as_str) {
                    base.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let known = self.modules.get(at).is_some_and(|module| {
                    module.defines.contains(first) || module.imports.contains_key(first)
                });
                let child = self.modules.contains_key(&joined(at, first));
                if !known && !child {
                    return None;
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    fn find(&self, path: &[String], depth: usize) -> Option<(usize, String)> {
        let depth = depth.checked_sub(1)?;
        let mut at: Vec<String> = Vec::new();
        for (index, name) in path.iter().enumerate() {
            let child = joined(&at, name);
            if self.modules.contains_key(&child) {
                at = child;
                continue;
            }
            let module = self.modules.get(&at)?;
            if module.defines.contains(name) {
                return Some((module.file, name.clone()));
            }
            if let Some(import) = module.imports.get(name) {
                // What is imported from another crate is nobody's here.
                let mut to = self.import(&at, import)?;
                to.extend_from_slice(&path[index + 1..]);
                return self.find(&to, depth);
            }
            let over_globs = module.globs.iter().find_map(|glob| {
                let mut to = self.import(&at, glob)?;
                to.push(name.clone());
                self.find(&to, depth)
            });
            // A name that is not seen is made by a macro, there.
            return over_globs.or_else(|| (!at.is_empty()).then(|| (module.file, name.clone())));
        }
        let module = self.modules.get(&at)?;
        Some((module.file, at.last().cloned().unwrap_or_default()))
    }

    /// Where an import leads. One that calls itself by its own first name is of another crate.
    fn import(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let first = path.first()?;
        let own = ["crate", "self", "super"].contains(&first.as_str());
        let child = self.modules.contains_key(&joined(at, first));
        let defined = self.modules.get(at).is_some_and(|module| module.defines.contains(first));
        if own || child || defined {
            self.absolute(at, path)
        } else {
            let import = self.modules.get(at)?.imports.get(first)?;
            if import.first() == Some(first) {
                return None;
            }
            let mut to = self.import(at, import)?;
            to.extend_from_slice(&path[1..]);
            Some(to)
        }
    }
}

/// `a/b.rs` and `a/b/mod.rs` are the module `a::b`.
fn module_of(name: &str) -> Vec<String> {
    let path = name.trim_end_matches(".rs");
    let path = path.trim_end_matches("mod").trim_end_matches('/');
    path.split('/').filter(|part| !part.is_empty() && *part != "lib").map(str::to_owned).collect()
}

fn joined(at: &[String], name: &str) -> Vec<String> {
    at.iter().cloned().chain([name.to_owned()]).collect()
}

fn modules_of_tests(module: &[String], items: &[Item]) -> Vec<Vec<String>> {
    let tests = items.iter().filter_map(|item| match item {
        Item::Mod(item) if is_test(&item.attrs) => Some(joined(module, &item.ident.to_string())),
        _ => None,
    });
    tests.collect()
}

fn collect(modules: &mut BTreeMap<Vec<String>, Module>, at: &[String], file: usize, items: &[Item]) {
    let mut module = Module { file, ..Module::default() };
    for item in items {
        match item {
            Item::Use(item) => leaves(&item.tree, &mut Vec::new(), &mut |name, path| match name {
                Some(name) => {
                    module.imports.insert(name, path);
                }
                None => module.globs.push(path),
            }),
            Item::Mod(ItemMod { content: Some((_, items)), ident, .. }) => {
                collect(modules, &joined(at, &ident.to_string()), file, items);
            }
            other => module.defines.extend(name_of(other)),
        }
    }
    modules.insert(at.to_vec(), module);
}

fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(ident.to_string())
}

/// Gives each name that an import brings, with its path; a glob brings none.
pub(crate) fn leaves(
    tree: &UseTree,
    path: &mut Vec<String>,
    give: &mut impl FnMut(Option<String>, Vec<String>),
) {
    match tree {
        UseTree::Path(tree) => {
            path.push(tree.ident.to_string());
            leaves(&tree.tree, path, give);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, path, give)),
        UseTree::Glob(_) => give(None, path.clone()),
        UseTree::Name(tree) if tree.ident == "self" => give(path.last().cloned(), path.clone()),
        UseTree::Name(tree) => give(Some(tree.ident.to_string()), joined(path, &tree.ident.to_string())),
        UseTree::Rename(tree) if tree.ident == "self" => give(Some(tree.rename.to_string()), path.clone()),
        UseTree::Rename(tree) => {
            give(Some(tree.rename.to_string()), joined(path, &tree.ident.to_string()));
        }
    }
}

/// `#[cfg(test)]`, also among other conditions.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let tokens = attribute.meta.require_list().map(|list| list.tokens.to_string());
        attribute.path().is_ident("cfg")
            && tokens.is_ok_and(|text| text == "test" || text.starts_with("all (test"))
    })
}

fn without_tests(mut items: Vec<Item>) -> Vec<Item> {
    items.retain(|item| !match item {
        Item::Const(item) => is_test(&item.attrs),
        Item::Fn(item) => is_test(&item.attrs),
        Item::Impl(item) => is_test(&item.attrs),
        Item::Mod(item) => is_test(&item.attrs),
        Item::Struct(item) => is_test(&item.attrs),
        Item::Use(item) => is_test(&item.attrs),
        _ => false,
    });
    items
}
