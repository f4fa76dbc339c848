//! `tidegate run`: an Envoy with these policies, the shortest way to try them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::done::{Done, Outcome};
use crate::filter::Filter;
use crate::options::Run;
use crate::render::policy::{self, address};
use crate::render::{read, render, Policy, Target};
use crate::source::{documents, text_of};
use crate::tree::{json, Node};

/// How an Envoy is started.
#[derive(Debug, PartialEq, Eq)]
pub enum Starter {
    /// This binary.
    Envoy(PathBuf),
    /// func-e, which downloads one.
    FuncE(PathBuf),
}

/// The longest configuration that is an argument; Linux takes 128 KiB.
const LONGEST: usize = 100_000;

/// Renders, and runs until Envoy ends.
#[must_use]
pub fn run(options: &Run) -> Done {
    let mut policy = match policy_of(options) {
        Ok(policy) => policy,
        Err(done) => return done,
    };
    let Some(module) = options.module.clone().or_else(module) else {
        return Done::unread("no module: `make filters` builds dist/tidegate.wasm, --module names another");
    };
    policy.gateway.module = Some(module.display().to_string());
    let config = match render(&policy, Target::Envoy) {
        Ok(config) => config,
        Err(why) => return Done::unread(&why),
    };
    if options.print {
        return Done::well(config);
    }
    let path = |name: &str| env::var_os(name).map(PathBuf::from);
    let named = options.envoy.clone().or_else(|| path("ENVOY_PATH")).or_else(|| path("ENVOY"));
    let Some(starter) = starter(named, &path_of) else {
        return Done::unread(
            "no Envoy: set ENVOY_PATH, put envoy or func-e into the PATH (https://func-e.io), or pass --envoy FILE",
        );
    };
    match start(&starter, &config, &policy) {
        Ok(outcome) => Done { out: String::new(), err: String::new(), outcome },
        Err(error) => Done::unread(&error.to_string()),
    }
}

/// The policies of the file: with services, or a document of one filter in front of the upstream.
fn policy_of(options: &Run) -> Result<Policy, Done> {
    let upstream = match options.upstream.as_deref().map(|text| (text, address(text))) {
        Some((text, None)) => return Err(Done::unread(&format!("{text:?} is no upstream: host:port"))),
        Some((_, Some(upstream))) => Some(upstream),
        None => None,
    };
    let name = options.file.display();
    let text = text_of(&options.file).map_err(|error| Done::unread(&format!("{name}: {error}")))?;
    let nodes =
        documents(&options.file, &text).map_err(|error| Done::unread(&format!("{name}: {}", error.says)))?;
    let mut policy = match nodes.first() {
        Some(node) if !policy::is_one(node) => alone(node, upstream.as_ref()).map_err(|why| Done {
            out: String::new(),
            err: format!("tidegate: {name}: {why}\n"),
            outcome: Outcome::Problems,
        })?,
        _ => read(&options.file)?,
    };
    let gateway = &mut policy.gateway;
    for (given, place) in [(&options.listen, &mut gateway.listen), (&options.admin, &mut gateway.admin)] {
        match given.as_deref().map(|text| (text, address(text))) {
            Some((_, Some(address))) => *place = address,
            Some((text, None)) => return Err(Done::unread(&format!("{text:?} is no address: address:port"))),
            None => {}
        }
    }
    for service in policy.services.iter_mut().filter(|service| service.endpoints.is_empty()) {
        service.endpoints.extend(upstream.clone());
    }
    Ok(policy)
}

/// A document of one filter, or of all, in front of one upstream, which has the name of every cluster in it.
fn alone(node: &Node, upstream: Option<&(String, u16)>) -> Result<Policy, String> {
    let filter = Filter::of_document(node).ok_or("no document of Tidegate")?;
    let (host, port) = upstream.ok_or("needs --upstream host:port")?;
    let part = match filter {
        Filter::Fused => node.to_json(),
        Filter::RateLimit | Filter::RateLimitWithHeaders => format!(r#"{{"ratelimit":{}}}"#, node.to_json()),
        _ => format!(r#"{{"{}":{}}}"#, filter.word(), node.to_json()),
    };
    let document = json::parse(&part).map_err(|error| error.says)?;
    let mut names = policy::cluster_names(&document);
    names.insert(0, "upstream".to_owned());
    let service = |name: &String| format!(r#"{name:?}:{{"endpoints":["{host}:{port}"]}}"#);
    let services: Vec<String> = names.iter().map(service).collect();
    let default = names.get(1).unwrap_or(&names[0]);
    let file = format!(r#"{{"services":{{{}}},"default":{default:?},{}"#, services.join(","), &part[1..]);
    Policy::read(&json::parse(&file).map_err(|error| error.says)?)
}

/// The module beside the tool, or in the folder that builds put it in.
fn module() -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join("tidegate.wasm")));
    [Some(PathBuf::from("dist/tidegate.wasm")), beside].into_iter().flatten().find(|path| path.is_file())
}

/// How to start an Envoy: the one that is named, else one of the path, else func-e.
#[must_use]
pub fn starter(named: Option<PathBuf>, path_of: &dyn Fn(&str) -> Option<PathBuf>) -> Option<Starter> {
    let envoy = named.or_else(|| path_of("envoy")).map(Starter::Envoy);
    envoy.or_else(|| path_of("func-e").map(Starter::FuncE))
}

fn path_of(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs it in place of this process, where that can be, so that signals are Envoy's.
fn start(starter: &Starter, config: &str, policy: &Policy) -> std::io::Result<Outcome> {
    let (host, port) = &policy.gateway.listen;
    let (admin, admin_port) = &policy.gateway.admin;
    eprintln!("listening on http://{host}:{port}, metrics on http://{admin}:{admin_port}/stats/prometheus");
    let mut command = command(starter, config)?;
    #[cfg(unix)]
    return Err(std::os::unix::process::CommandExt::exec(&mut command));
    #[cfg(not(unix))]
    Ok(if command.status()?.success() { Outcome::Well } else { Outcome::Problems })
}

/// A configuration that is too long for an argument is left in a file of the user's own.
fn command(starter: &Starter, config: &str) -> std::io::Result<Command> {
    let (program, first): (&Path, &[&str]) = match starter {
        Starter::Envoy(path) => (path, &[]),
        Starter::FuncE(path) => (path, &["run"]),
    };
    let mut command = Command::new(program);
    command.args(first).args(["--log-level", "warning"]);
    if config.len() < LONGEST {
        command.args(["--config-yaml", config]);
    } else {
        let file = env::temp_dir().join(format!("tidegate-{}.yaml", std::process::id()));
        std::fs::write(&file, config)?;
        eprintln!("configuration in {}", file.display());
        command.arg("-c").arg(file);
    }
    Ok(command)
}
