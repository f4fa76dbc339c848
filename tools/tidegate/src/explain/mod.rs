//! `tidegate explain`: what becomes of one request, and why.

mod applies;
mod print;
mod story;

use std::net::IpAddr;
use std::path::Path;

use tidegate_policy::time::Span;

use crate::done::{Done, Outcome};
use crate::engine::{Engine, Passing, Router};
use crate::find::{find, Chain, World};
use crate::options::{Asked, Explain};
use crate::rules::{check, Level};
use crate::source::read_all;

pub use applies::{of_document, part, Applies, Chosen, Part};
pub use story::{Answer, Story, Told};

/// Explains a request.
#[must_use]
pub fn run(options: &Explain) -> Done {
    let worlds = match worlds_of(&options.file) {
        Ok(worlds) => worlds,
        Err(done) => return done,
    };
    let chain = match chain_of(&worlds, options.chain.as_deref()) {
        Ok(chain) => chain,
        Err(why) => return Done::unread(&why),
    };
    let request = match request_of(&options.asked) {
        Ok(request) => request,
        Err(why) => return Done::unread(&why),
    };
    match tell(chain, &request, options) {
        Ok((stories, last)) => {
            let out = if options.json { print::json(&stories, &last) } else { print::text(&stories, &last) };
            Done::well(out)
        }
        Err(why) => Done::unread(&why),
    }
}

/// The stories of a request that is sent several times: what each ended with, and the last one.
fn tell(chain: &Chain, request: &Passing, options: &Explain) -> Result<(Vec<Answer>, Story), String> {
    let engine = Engine::new(chain)?;
    let (usual, assumed) = usual_cluster(chain, options.asked.cluster.as_deref());
    let router = Router::new(chain, &usual);
    let mut answers = Vec::new();
    let mut at = engine.now();
    let mut story = story::of(chain, &engine, &router, request, options.asked.status);
    for _ in 1..options.times.max(1) {
        answers.push(story.answer.clone());
        at = at.plus(Span::from_millis(options.every_ms));
        engine.advance(at);
        story = story::of(chain, &engine, &router, request, options.asked.status);
    }
    answers.push(story.answer.clone());
    story.assumed = (assumed && !usual.is_empty()).then_some(usual);
    Ok((answers, story))
}

/// What is in a file whose documents are right; else what there is to say of it.
pub(crate) fn worlds_of(file: &Path) -> Result<Vec<World>, Done> {
    let (files, unread) = read_all(&[file.to_path_buf()]);
    if let Some(unread) = unread.first() {
        return Err(Done::unread(&format!("{}: {}", unread.name, unread.why.says)));
    }
    let worlds = find(&files);
    let wrong = check(&worlds)
        .into_iter()
        .find(|finding| finding.level == Level::Error && finding.rule.id == "document");
    if let Some(finding) = wrong {
        let err = format!("tidegate: {}\nsee `tidegate check {}`\n", finding.line(), file.display());
        return Err(Done { out: String::new(), err, outcome: Outcome::Problems });
    }
    Ok(worlds)
}

/// The chain of a name; the only one, or else the first.
///
/// # Errors
/// There is none, or none of this name.
pub fn chain_of<'w>(worlds: &'w [World], name: Option<&str>) -> Result<&'w Chain, String> {
    let all = worlds.iter().flat_map(|world| &world.chains).filter(|chain| !chain.plugins.is_empty());
    let chains: Vec<&Chain> = all.collect();
    let wanted = |chain: &&&Chain| name.is_none_or(|name| chain.name == name);
    match (chains.iter().find(wanted), name) {
        (Some(chain), _) => Ok(*chain),
        (None, Some(name)) => {
            let names: Vec<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
            Err(format!("no chain is called {name:?}: there is {}", names.join(", ")))
        }
        (None, None) => Err("no configuration of Tidegate in this file".to_owned()),
    }
}

/// The cluster of requests whose route the files do not have: the one that is asked for, else the first
/// that a breaker guards; and whether that is a guess.
#[must_use]
pub fn usual_cluster(chain: &Chain, asked: Option<&str>) -> (String, bool) {
    if let Some(asked) = asked {
        return (asked.to_owned(), false);
    }
    let trees =
        chain.plugins.iter().filter_map(|plugin| Some((plugin.filter, plugin.document.tree.as_ref()?)));
    let parts = trees.flat_map(|(filter, tree)| filter.parts(tree));
    let guarded = parts.filter_map(|(_, part)| {
        let breakers = part.get("breakers")?.items_or_self().to_vec();
        breakers.iter().find_map(|breaker| breaker.text_at(&["target", "cluster"]).map(str::to_owned))
    });
    let first = guarded.into_iter().next();
    (first.unwrap_or_default(), chain.hosts.is_none())
}

/// The request that the command line describes.
///
/// # Errors
/// A header without a colon, or an address that is none.
pub fn request_of(asked: &Asked) -> Result<Passing, String> {
    let mut words = asked.request.split_whitespace();
    let (method, path) = match (words.next(), words.next()) {
        (Some(method), Some(path)) => (method, path),
        (Some(path), None) => ("GET", path),
        _ => ("GET", "/"),
    };
    let from: IpAddr = asked.from.parse().map_err(|_| format!("{:?} is no address", asked.from))?;
    let mut request = Passing::new(method, path, "example.com", Some(from));
    for header in &asked.headers {
        let (name, value) = header.split_once(':').ok_or(format!("{header:?} is no header: name: value"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().as_bytes().to_vec());
        match request.headers.iter_mut().find(|(own, _)| name == "host" && own == ":authority") {
            Some((_, own)) => *own = value,
            None => request.headers.push((name, value)),
        }
    }
    Ok(request)
}
