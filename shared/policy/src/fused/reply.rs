//! A reply of one stage as the stages before it see it: in a chain it passes through their filters.

use alloc::vec::Vec;

use crate::http::{Attribute, Edit, Reply, Response};

/// A reply on its way out.
pub(super) struct OwnReply<'a>(pub(super) &'a Reply);

impl Response for OwnReply<'_> {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        let Reply { status, headers, .. } = self.0;
        if name == ":status" {
            return Some(alloc::format!("{status}").into_bytes());
        }
        let own = headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.as_bytes().to_vec())
    }

    fn attribute(&self, which: Attribute) -> Option<Vec<u8>> {
        (which == Attribute::Details).then(|| self.0.details.as_bytes().to_vec())
    }
}

/// Edits the headers of a reply as those of a response are.
pub(super) fn edit(reply: &mut Reply, edits: Vec<Edit>) {
    for edit in edits {
        match edit {
            Edit::AddResponseHeader(name, value) => reply.headers.push((name, value)),
            Edit::SetResponseHeader(name, value) => {
                reply.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(&name));
                reply.headers.push((name, value));
            }
            _ => {}
        }
    }
}
