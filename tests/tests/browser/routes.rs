//! Which pages there are, read from the controller's sources: a router tells nobody what it routes.
//!
//! A route that is neither a text here nor made from the list of the API's routes fails the test, so that none is
//! overlooked.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::desk::root;

/// What is got and is no page: for monitoring, the stream of changes, what pages are drawn with, and files.
const NO_PAGES: [&str; 10] = [
    "/health",
    "/live",
    "/assets/tawi.css",
    "/assets/pay.css",
    "/assets/live.js",
    "/assets/icon.svg",
    "/favicon.ico",
    "/subscriptions/{id}/code.png",
    "/pay/{account}/code.png",
    "/sites/{id}/commands/{command}/answer",
];
/// The only routes that are no text where they are routed: those of the API, which its own contract test goes through.
const ROUTES_OF_THE_API: &str = "web/api/mod.rs";

/// Every page that can be got, as its pattern: `/sites/{id}`.
pub fn pages() -> anyhow::Result<Vec<String>> {
    let mut pages = Vec::new();
    let sources = root()?.join("controller/src");
    for (path, text) in shipped_sources(&sources)? {
        for call in text.split(".route(").skip(1) {
            let Some((pattern, methods)) = literal(call) else {
                ensure!(path.ends_with(ROUTES_OF_THE_API), "{path}: a route that is no text: {}", head(call));
                continue;
            };
            if is_got(methods) && !NO_PAGES.contains(&pattern) {
                pages.push(pattern.to_owned());
            }
        }
    }
    Ok(pages)
}

/// Patterns of which none of these paths is an example.
pub fn without_example<'a>(patterns: &'a [String], paths: &[&str]) -> Vec<&'a str> {
    let taken: Vec<_> = paths.iter().filter_map(|path| served_by(patterns, path)).collect();
    patterns.iter().map(String::as_str).filter(|pattern| !taken.contains(pattern)).collect()
}

/// The pattern that serves a path: that with the fewest parameters of those which fit, as axum has it.
fn served_by<'a>(patterns: &'a [String], path: &str) -> Option<&'a str> {
    let path = path.split('?').next().unwrap_or_default();
    let fits = |pattern: &&str| {
        let (wanted, given) = (pattern.split('/'), path.split('/'));
        wanted.clone().count() == given.clone().count()
            && wanted.zip(given).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
    };
    patterns.iter().map(String::as_str).filter(fits).min_by_key(|pattern| pattern.matches('{').count())
}

/// The text of a first argument, and what follows it.
fn literal(call: &str) -> Option<(&str, &str)> {
    call.trim_start().strip_prefix('"')?.split_once('"')
}

/// Whether the methods up to the end of the call have `get`.
fn is_got(methods: &str) -> bool {
    let mut depth = 1_u32;
    let end = methods.find(|letter| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0
    });
    let methods = methods.split_at(end.unwrap_or(methods.len())).0;
    methods.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "get" || word == "asset")
}

fn head(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The sources below a directory, by path, without what only tests have.
fn shipped_sources(directory: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).context("a name is text")?.to_owned();
        if path.is_dir() {
            if name != "tests" {
                sources.extend(shipped_sources(&path)?);
            }
        } else if name.ends_with(".rs") && !["tests.rs", "testing.rs"].contains(&name.as_str()) {
            let text = std::fs::read_to_string(&path)?;
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            sources.push((path.to_string_lossy().into_owned(), shipped.to_owned()));
        }
    }
    Ok(sources)
}

#[test]
fn pages_are_found_where_they_are_routed_and_a_page_without_example_is_told() {
    let pages = pages().unwrap();
    for known in ["/", "/customers/new", "/sites/{id}/routers/{router}/take-over", "/connection-types/{id}"] {
        assert!(pages.iter().any(|page| page == known), "{known} is a page: {pages:?}");
    }
    for other in ["/health", "/connection-types", "/subscriptions/{id}/hold", "/api/plans"] {
        assert!(!pages.iter().any(|page| page == other), "{other} is no page: {pages:?}");
    }
    let two = ["/customers/new".to_owned(), "/customers/{id}".to_owned()];
    assert_eq!(without_example(&two, &["/customers/new?x=1"]), ["/customers/{id}"]);
    assert_eq!(without_example(&two, &["/customers/c1"]), ["/customers/new"]);
    assert!(without_example(&two, &["/customers/c1", "/customers/new"]).is_empty());
    let call = |text| literal(text).map(|(_, methods)| is_got(methods));
    assert_eq!(call("\"/a\", post(x)).route(\"/b\", get(y))"), Some(false));
    assert_eq!(call("\"/a\", axum::routing::get(x).post(y))"), Some(true));
    assert_eq!(call("route.path, route.handler)"), None);
}
