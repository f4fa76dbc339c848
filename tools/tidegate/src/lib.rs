//! The tool `tidegate`, for people who run policies: on the filters' own parsers.
//!
//! Files become trees whose values know where they stand ([`tree`]); what is ours in them is found
//! ([`mod@find`]) and held against the rules ([`rules`]), and printed ([`report`]). The filters of a file
//! run on the simulator ([`engine`]), for one request that is explained ([`explain`]) or for many
//! ([`simulate`]). What is rendered ([`render`]) is checked as any other file.

#![forbid(unsafe_code)]

pub mod check;
pub mod document;
pub mod done;
pub mod engine;
pub mod explain;
pub mod filter;
pub mod find;
pub mod launch;
pub mod manual;
pub mod module;
pub mod options;
pub mod render;
pub mod report;
pub mod rules;
pub mod simulate;
pub mod source;
pub mod tree;
