//! One stage among the others of the module, if the document has a part for it.

use alloc::vec::Vec;

use crate::config::{Field, Object, Part as PartField};
use crate::host::Host;
use crate::http::overlay::Facts;
use crate::http::steering::{self, Note};
use crate::http::{
    Attribute, Edit, Ending, Foretold, Memo, NoResponse, Overlay, Placement, Reply, Request, RequestExt,
    Stage, Verdict,
};
use crate::scoped::{Moment, Scoped};

/// A stage, and how many metrics of others come before its own.
pub(super) struct Part<S> {
    pub(super) stage: S,
    base: usize,
}

/// What other stages say of a request when one is asked.
pub(super) struct Others<'a, R> {
    /// The facts of those before it.
    pub(super) earlier: &'a Facts<'a>,
    /// What those behind it will tell.
    pub(super) later: &'a Later<'a, R>,
}

/// What later stages will tell of a request, of which nothing is foretold.
pub(super) type Later<'a, R> =
    dyn for<'r> Fn(Attribute, &Foretold<'r, Overlay<'r, R>>) -> Option<Vec<u8>> + 'a;

/// What the stages so far have made of a request.
#[derive(Debug, Default)]
pub(super) struct Passage {
    pub(super) edits: Vec<Edit>,
    /// Whether the last of them holds it back.
    pub(super) held: bool,
    /// Whether the last note on its route says that the route is not to be believed.
    pub(super) forged: bool,
}

// === impl Part ===

impl<S: Stage> Part<S> {
    /// The stage of a part of the document: `Some(None)` without one, `None` after reporting what is
    /// wrong with it. `metrics` counts the metrics of all stages.
    pub(super) fn read(
        object: &Object<'_>,
        field: &Field<PartField>,
        placement: Placement,
        metrics: &mut usize,
    ) -> Option<Option<Self>> {
        let Some(reader) = object.reader(field) else { return Some(None) };
        let stage = S::read(&reader, placement)?;
        let base = *metrics;
        *metrics = base.saturating_add(stage.metrics().len());
        Some(Some(Self { stage, base }))
    }

    pub(super) fn host<'a, H>(&self, host: &'a H, moment: &'a Moment) -> Scoped<'a, H> {
        Scoped::new(host, self.base, S::NAME, moment)
    }

    /// Asks the stage about a request that the earlier ones let go on. The reply, if it is not to.
    ///
    /// What one filter of a chain is spared by its driver is looked at here: a request from which the
    /// stage takes away a header may have passed a breaker only with it.
    pub(super) fn request<R: Request>(
        &self,
        state: &mut S::Exchange,
        request: &R,
        passage: &mut Passage,
        others: &Others<'_, R>,
        host: &Scoped<'_, impl Host>,
    ) -> Option<Reply> {
        self.request_by(state, request, passage, others, host, |state, seen| {
            self.stage.on_request(state, seen, host)
        })
    }

    /// The same, where the stage is asked by `ask`.
    pub(super) fn request_by<R: Request>(
        &self,
        state: &mut S::Exchange,
        request: &R,
        passage: &mut Passage,
        others: &Others<'_, R>,
        host: &Scoped<'_, impl Host>,
        ask: impl FnOnce(&mut S::Exchange, &Foretold<'_, Overlay<'_, R>>) -> Verdict,
    ) -> Option<Reply> {
        let forged = passage.forged;
        let facts = |tell: &mut dyn FnMut(&'static str, &str)| {
            (others.earlier)(tell);
            if forged {
                Note::Forged.tell(tell);
            }
        };
        let overlay = Overlay::new(request, &passage.edits, &facts);
        let later = |which| (others.later)(which, &Foretold::new(&overlay, &|_| None));
        let seen = Foretold::new(&overlay, &later);
        let verdict = ask(state, &seen);
        let (edits, held) = match verdict {
            Verdict::Await(edits) => (edits, true),
            Verdict::Continue(edits) => (edits, false),
            Verdict::Reply(reply) => return Some(reply),
        };
        let own = steering::note_of(|tell| self.stage.facts(state, tell));
        if steering::unsteers(&edits) {
            let note = own.or_else(|| seen.attribute(Attribute::Steering)).unwrap_or_default();
            passage.forged = true;
            if let Some(reply) = steering::distrusted(&note, seen.is_grpc()) {
                self.stage.on_forged(host);
                self.stage.on_end(state, Ending::NeverSent, &Memo::new(&NoResponse), host);
                return Some(reply);
            }
        } else if own.is_some() {
            passage.forged = false;
        }
        passage.held = held;
        passage.add(edits);
        None
    }
}

// === impl Passage ===

impl Passage {
    /// Adds what a later stage edits. A value for a header takes the place of an earlier one, so that
    /// the host is asked once.
    fn add(&mut self, later: Vec<Edit>) {
        if self.edits.is_empty() {
            self.edits = later;
            return;
        }
        for edit in later {
            let known = match &edit {
                Edit::SetRequestHeader(name, _) => self.edits.iter().position(|own| sets(own, name)),
                _ => None,
            };
            if let Some(at) = known {
                self.edits.remove(at);
            }
            self.edits.push(edit);
        }
    }

    /// What becomes of the request when no stage answered it.
    pub(super) fn verdict(self) -> Verdict {
        if self.held {
            Verdict::Await(self.edits)
        } else {
            Verdict::Continue(self.edits)
        }
    }
}

fn sets(edit: &Edit, name: &str) -> bool {
    matches!(edit, Edit::SetRequestHeader(own, _) if own.eq_ignore_ascii_case(name))
}
