//! What the archive says: what is loaded, saved and lost.

use std::time::{SystemTime, UNIX_EPOCH};

use maud::{Markup, html};

use super::{format, overview::plural};
use crate::{
    Lens,
    archive::{Archive, Status},
};

/// A paragraph, if telemetry is kept over restarts.
pub(super) fn state(lens: &Lens) -> Markup {
    let status = lens.archive.as_ref().map(Archive::status);
    html! {
        @if let Some(status) = status { (paragraph(&status)) }
    }
}

/// What a page lacks while lens loads.
pub(super) fn incomplete(lens: &Lens) -> Markup {
    html! {
        @if let Some(loading) = lens.loading() {
            p.notice role="status" {
                "This page is not complete yet: lens has loaded " (format::count(loading.done)) " of "
                (format::count(loading.total)) " records that an earlier run stored. Newer telemetry follows. Reload the page then."
            }
        }
    }
}

fn paragraph(status: &Status) -> Markup {
    html! {
        p {
            @if let Some(loading) = status.loading {
                "Loading what an earlier run stored: "
                (format::count(loading.done)) " of " (format::count(loading.total))
                " records. New telemetry appears after it. "
            }
            @if let Some(failure) = &status.failure {
                strong { "Not saved: " (failure.reason) }
                ", since " (time(failure.since)) ". Lens tries again each second. "
            }
            @if status.dropped > 0 {
                (plural(status.dropped, "record", "records"))
                " will be missing after a restart, because the disk was full or too slow. "
            }
            @if status.damaged > 0 {
                (plural(status.damaged, "damaged chunk of an earlier run is", "damaged chunks of an earlier run are"))
                " left out. "
            }
            "Saved for the next start: " (format::bytes(status.size)) " of "
            (format::bytes(status.limit)) "."
        }
    }
}

fn time(time: SystemTime) -> Markup {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format::time(since_epoch.as_nanos().try_into().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::{Failure, Loading};

    #[tokio::test]
    async fn a_page_says_that_it_is_not_complete() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::open(folder.path(), 8 << 20).await.unwrap();
        // Its load has not begun.
        let lens = Lens::with(8 << 20, Some(archive));
        let text = incomplete(&lens).into_string();
        assert!(text.contains("not complete yet"), "{text}");
        assert_eq!(incomplete(&Lens::new(8 << 20)).into_string(), "");
    }

    #[test]
    fn problems_are_named() {
        let healthy = Status {
            loading: None,
            failure: None,
            dropped: 0,
            damaged: 0,
            size: 1 << 20,
            limit: 64 << 20,
        };
        let text = paragraph(&healthy).into_string();
        assert_eq!(
            text,
            "<p>Saved for the next start: 1.0 MiB of 64.0 MiB.</p>"
        );
        let status = Status {
            loading: Some(Loading {
                done: 1000,
                total: 2000,
            }),
            failure: Some(Failure {
                reason: "the disk is <full>".to_owned(),
                since: SystemTime::now(),
            }),
            dropped: 3000,
            damaged: 4000,
            ..healthy
        };
        let text = paragraph(&status).into_string();
        for part in [
            "stored: 1,000 of 2,000 records",
            "Not saved: the disk is &lt;full&gt;",
            "3,000 records will be missing",
            "4,000 damaged chunks",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
