//! For which other URLs a delivery may have been signed: the configured ones with one part or more changed in the usual
//! ways, the likeliest first.

use super::Cause;

/// A URL in the parts that people mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    /// With its colon, or empty.
    port: &'a str,
    /// With the query.
    path: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Parts<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority);
        Some(Parts { scheme, host, port, path })
    }

    fn join(&self) -> String {
        let Parts { scheme, host, port, path } = self;
        format!("{scheme}://{host}{port}{path}")
    }

    /// How many parts differ, and the one that tells most.
    fn difference(&self, other: &Parts) -> Option<(usize, Cause)> {
        let bare = |path: &'a str| path.strip_suffix('/').unwrap_or(path);
        let other_bare = other.path.strip_suffix('/').unwrap_or(other.path);
        let differ = [
            (self.host != other.host, Cause::UrlHost),
            (bare(self.path) != other_bare, Cause::UrlPath),
            (self.port != other.port, Cause::UrlPort),
            (self.scheme != other.scheme, Cause::UrlScheme),
            (self.path.ends_with('/') != other.path.ends_with('/'), Cause::UrlSlash),
        ];
        let mut differing = differ.into_iter().filter(|(differs, _)| *differs).map(|(_, cause)| cause);
        differing.next().map(|first| (1 + differing.count(), first))
    }
}

fn host_and_port(authority: &str) -> (&str, &str) {
    let behind_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority[behind_brackets..].find(':').map_or(authority.len(), |at| behind_brackets + at);
    authority.split_at(colon)
}

/// `whole`: URLs to try as they are. `hosts`, `target`: what the request said.
pub fn candidates(configured: &[String], whole: &[&str], hosts: &[String], target: &str) -> Vec<(Cause, String)> {
    let mut all: Vec<(usize, Cause, String)> = Vec::new();
    for original in configured.iter().filter_map(|url| Parts::of(url)) {
        let mut add = |parts: Parts| {
            if let Some((count, cause)) = original.difference(&parts) {
                all.push((count, cause, parts.join()));
            }
        };
        whole.iter().filter_map(|url| Parts::of(url)).for_each(&mut add);
        changed(original, hosts, target, &mut add);
    }
    all.sort_by_key(|(count, ..)| *count);
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|(.., url)| !configured.contains(url) && seen.insert(url.clone()));
    all.into_iter().map(|(_, cause, url)| (cause, url)).collect()
}

/// Every part in every way.
fn changed(original: Parts, hosts: &[String], target: &str, add: &mut impl FnMut(Parts)) {
    let (lower, upper) = (original.host.to_lowercase(), original.host.to_uppercase());
    let www = format!("www.{}", original.host);
    let mut host_names = vec![original.host, &lower, &upper, original.host.strip_prefix("www.").unwrap_or(&www)];
    let mut ports = vec![original.port, "", ":443", ":80", ":8080"];
    for (host, port) in hosts.iter().map(|host| host_and_port(host)) {
        host_names.push(host);
        ports.push(port);
    }
    let paths = paths(original.path, target);
    for host in host_names {
        for port in &ports {
            for path in &paths {
                for scheme in ["https", "http"] {
                    add(Parts { scheme, host, port, path });
                }
            }
        }
    }
}

/// As configured and as requested, each with the other slash; as requested also without its query.
fn paths(configured: &str, target: &str) -> Vec<String> {
    let without_query = target.split('?').next().unwrap_or_default();
    let mut paths: Vec<String> = Vec::new();
    for path in [configured, without_query, target] {
        paths.push(path.to_owned());
        paths.push(path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned));
    }
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart_and_together_again() {
        for (url, parts) in [
            ("https://a.example/b?c", ("https", "a.example", "", "/b?c")),
            ("http://a:8080", ("http", "a", ":8080", "")),
            ("https://[::1]:443/", ("https", "[::1]", ":443", "/")),
            ("https://[::1]/", ("https", "[::1]", "", "/")),
        ] {
            let Parts { scheme, host, port, path } = Parts::of(url).unwrap();
            assert_eq!((scheme, host, port, path), parts);
            assert_eq!(Parts::of(url).unwrap().join(), url);
        }
        assert_eq!(Parts::of("no url"), None);
    }

    #[test]
    fn what_differs_least_comes_first_and_nothing_comes_twice() {
        let configured = ["https://a.example/b".to_owned()];
        let all = candidates(&configured, &["https://c.example/d"], &["internal:8080".to_owned()], "/b");
        let counts: Vec<usize> =
            all.iter().map(|(_, url)| Parts::of(&configured[0]).unwrap().difference(&Parts::of(url).unwrap()).unwrap().0).collect();
        assert!(counts.is_sorted());
        let mut urls: Vec<&String> = all.iter().map(|(_, url)| url).collect();
        urls.sort();
        assert!(urls.windows(2).all(|pair| pair[0] != pair[1]) && !urls.contains(&&configured[0]));
        assert!(all.len() < 1000, "{}", all.len());
    }
}
