//! What one exchange carries from its request to its response: what was chosen, and the cookie.

use alloc::string::{String, ToString};
use core::fmt::Write;

use super::decide::{Choice, ChoiceReason};
use super::outcome::Progress;
use super::route::Route;
use super::variant::Target;
use crate::http::{Edit, Request};

/// What to remember until the response.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The route and the variant, of a request that was routed.
    pub(super) chosen: Option<(usize, usize)>,
    /// How far it has come, on a route with a ramp.
    pub(super) progress: Option<Progress>,
    /// The value of the cookie that the client gets with the response.
    pub(super) cookie: Option<String>,
    pub(super) label: String,
}

// === impl Exchange ===

impl Exchange {
    /// The response headers that make the client keep its cookie, if it is new or renewed.
    pub(super) fn set_cookies<'r>(
        &mut self,
        route: &'r Route,
    ) -> impl Iterator<Item = (String, String)> + 'r {
        let value = self.cookie.take().zip(route.cookie());
        let all = value.map(|(value, cookie)| cookie.set_cookies(&value)).into_iter().flatten();
        all.map(|cookie| ("set-cookie".to_string(), cookie))
    }

    /// What lets a request carry a cookie that is new.
    pub(super) fn attach(&self, route: &Route, request: &impl Request) -> Option<Edit> {
        let (value, cookie) = self.cookie.as_ref().zip(route.cookie())?;
        cookie.find(request).is_none().then(|| cookie.attach(request, value))
    }

    /// What access logs and later filters get: cluster, route, variant, reason, bucket.
    pub(super) fn label(&mut self, route: &Route, choice: Choice) {
        let Some(variant) = route.variants.get(choice.variant) else { return };
        let why = match choice.reason {
            ChoiceReason::Drawn => "drawn",
            ChoiceReason::Forced => "forced",
            ChoiceReason::PassedOver => "passed_over",
            ChoiceReason::Sticky => "sticky",
        };
        let goal: &str = match &variant.target {
            Target::Cluster(cluster) => cluster,
            Target::Service { name, .. } => name,
            Target::Status(_) => "-",
        };
        let label = &mut self.label;
        label.reserve(96);
        label.push_str(goal);
        if let Target::Service { tag, metadata, .. } = &variant.target {
            let tag = tag.iter().map(|tag| ("tag", tag.as_str()));
            let metadata = metadata.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            for (key, value) in tag.chain(metadata) {
                let _ = write!(label, ";{key}={value}");
            }
        }
        for word in [&*route.name, &*variant.name, why] {
            label.push(' ');
            label.push_str(word);
        }
        label.push(' ');
        let _ = write!(label, "{}", choice.bucket);
    }
}
