//! What the vendors have to be given, and what still waits for a secret. Never the secret.

use super::Notes;
use crate::cli::show::count;
use crate::providers::Pending;
use crate::providers::endpoints::Endpoint;
use crate::settings::Settings;
use crate::table::Held;

pub(super) fn look(settings: &Settings) -> Notes {
    let mut notes = Notes::of("endpoints");
    for endpoint in &settings.endpoints {
        let Some(keys) = settings.in_force.named("endpoint", &endpoint.name) else { continue };
        let urls = urls(endpoint, keys);
        let secrets: usize = ["secret_files", "token_sha256", "basic_files"].iter().map(|key| keys.list(key).len()).sum();
        let said = format!("{} ({}): {}; {}", endpoint.name, endpoint.vendor, urls.join(" or "), count(secrets, "secret"));
        match endpoint.pending {
            Pending::Yes => {
                notes.warning(format!("{said}; pending"), "it answers 503 until the vendor's secret is in a file and pending is off")
            }
            Pending::No => notes.fine(said),
        }
        for url in urls.iter().filter(|url| !leads_to(url, &endpoint.name)) {
            notes.warning(
                format!("{}: {url} does not end with /webhooks/{}", endpoint.name, endpoint.name),
                "something before waitbridge must rewrite the path; the signature counts for the URL as it stands",
            );
        }
    }
    if settings.endpoints.is_empty() {
        notes.problem("there is none", "add an [[endpoint]] for each hook of a vendor");
    }
    notes
}

/// As they are entered at the vendor.
fn urls(endpoint: &Endpoint, keys: &Held) -> Vec<String> {
    let known = keys.list("public_urls");
    if !known.is_empty() {
        return known.to_vec();
    }
    let base = format!("https://YOUR-HOST/webhooks/{}", endpoint.name);
    let mut urls = Vec::new();
    if !keys.list("token_sha256").is_empty() {
        urls.push(format!("{base}/TOKEN"));
    }
    if !keys.list("basic_files").is_empty() {
        urls.push(format!("{base} with Basic"));
    }
    urls
}

fn leads_to(url: &str, name: &str) -> bool {
    let path = url.trim_end_matches(" with Basic").trim_end_matches("/TOKEN").trim_end_matches('/');
    path.ends_with(&format!("/webhooks/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_leads_elsewhere_is_noticed() {
        for (url, leads) in [
            ("https://hooks.example.com/webhooks/clinic", true),
            ("https://hooks.example.com/webhooks/clinic/", true),
            ("https://hooks.example.com/prefix/webhooks/clinic/TOKEN", true),
            ("https://YOUR-HOST/webhooks/clinic with Basic", true),
            ("https://hooks.example.com/webhooks/clinic2", false),
            ("https://hooks.example.com/clinic", false),
        ] {
            assert_eq!(leads_to(url, "clinic"), leads, "{url}");
        }
    }
}
