//! How many files the system lets this process have open, and how many connections that leaves. Each connection is one; who takes
//! the last of them takes them from the journal too.

use std::fs;

use tracing::warn;

use super::ServerSettings;

/// For the journal, Kafka, the admin listener and the runtime.
const KEPT_FOR_OURSELVES: u64 = 256;
const LIMITS: &str = "/proc/self/limits";

impl ServerSettings {
    /// Takes fewer connections than the settings say where the system allows fewer, and says so.
    pub fn fit_to_open_files(&mut self) {
        let Some(files) = fs::read_to_string(LIMITS).ok().and_then(|text| open_files_max(&text)) else { return };
        let (wanted, fitting) = (self.limits.connections_max, connections_max(files));
        if wanted > fitting {
            warn!(
                open_files_max = files,
                connections_max = fitting,
                "fewer connections than server.connections_max ({wanted}): raise the limit of open files (ulimit -n, LimitNOFILE)"
            );
            self.limits.connections_max = fitting;
        }
    }
}

fn connections_max(files: u64) -> usize {
    usize::try_from(files.saturating_sub(KEPT_FOR_OURSELVES).max(files / 2).max(1)).unwrap_or(usize::MAX)
}

/// The soft limit. `unlimited` and what cannot be read are no limit.
fn open_files_max(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_kept_for_the_journal_and_the_rest_is_for_connections() {
        for (files, connections) in [(0, 1), (1, 1), (100, 50), (512, 256), (1024, 768), (20_000, 19_744)] {
            assert_eq!(connections_max(files), connections, "{files}");
        }
    }

    #[test]
    fn the_soft_limit_is_read() {
        let limits = |open: &str| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax processes  7  7  processes\nMax open files            {open}   files\n")
        };
        for (open, expected) in [("1024     524288", Some(1024)), ("unlimited  unlimited", None), ("", None)] {
            assert_eq!(open_files_max(&limits(open)), expected, "{open}");
        }
        assert_eq!(open_files_max(""), None);
        assert!(fs::read_to_string(LIMITS).ok().and_then(|text| open_files_max(&text)).is_none_or(|files| files > 0));
    }
}
