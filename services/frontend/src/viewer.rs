//! Where people look at traces.

use url::Url;

use crate::Pages;

/// The program that shows traces, with its URL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Viewer {
    Lens(Url),
    Grafana(Url),
}

impl Viewer {
    /// The viewer that the settings name. `LENS_URL` precedes `GRAFANA_URL`.
    pub(crate) fn of(pages: &Pages) -> Option<Self> {
        let lens = pages.lens_url.clone().map(Self::Lens);
        lens.or_else(|| pages.grafana_url.clone().map(Self::Grafana))
    }

    /// The name of the program.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Lens(_) => "lens",
            Self::Grafana(_) => "Grafana",
        }
    }

    /// The URL of a trace; in Grafana, that of a search in Explore.
    pub(crate) fn trace(&self, id: &str) -> Option<String> {
        match self {
            Self::Lens(url) => {
                let mut url = url.clone();
                url.path_segments_mut()
                    .ok()?
                    .pop_if_empty()
                    .extend(["traces", id]);
                Some(url.into())
            }
            Self::Grafana(url) => explore(url.clone(), id),
        }
    }
}

fn explore(mut grafana: Url, id: &str) -> Option<String> {
    grafana
        .path_segments_mut()
        .ok()?
        .pop_if_empty()
        .push("explore");
    // An id is hexadecimal: nothing in it needs to be escaped in JSON.
    let panes = format!(
        r#"{{"trace":{{"datasource":"tempo","queries":[{{"refId":"A","datasource":{{"type":"tempo","uid":"tempo"}},"queryType":"traceql","query":"{id}"}}],"range":{{"from":"now-1h","to":"now"}}}}}}"#
    );
    grafana
        .query_pairs_mut()
        .append_pair("schemaVersion", "1")
        .append_pair("orgId", "1")
        .append_pair("panes", &panes);
    Some(grafana.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_to_grafana_keeps_the_path_of_its_url() {
        for base in ["http://g.example:3000", "http://g.example:3000/grafana/"] {
            let link = url(&Viewer::Grafana(url(base)).trace("abc").unwrap());
            assert!(link.as_str().starts_with(base), "{link}");
            assert!(link.path().ends_with("/explore"), "{link}");
            let (_, panes) = link
                .query_pairs()
                .find(|(name, _)| name == "panes")
                .unwrap();
            assert!(panes.contains(r#""uid":"tempo""#), "{panes}");
            assert!(panes.contains(r#""query":"abc""#), "{panes}");
        }
    }

    #[test]
    fn a_link_to_lens_keeps_the_path_of_its_url() {
        for (base, expected) in [
            ("http://l.example:8086", "http://l.example:8086/traces/abc"),
            ("http://l.example/lens/", "http://l.example/lens/traces/abc"),
        ] {
            let link = Viewer::Lens(url(base)).trace("abc");
            assert_eq!(link.as_deref(), Some(expected));
        }
    }

    #[test]
    fn lens_precedes_grafana() {
        let viewer = |arguments: &[&str]| {
            let config: crate::Config = testing::settings(arguments);
            Viewer::of(&config.pages).map(|viewer| viewer.name())
        };
        let (lens, grafana) = ("--lens-url=http://l:8086", "--grafana-url=http://g:3000");
        assert_eq!(viewer(&[]), None);
        assert_eq!(viewer(&[grafana]), Some("Grafana"));
        assert_eq!(viewer(&[grafana, lens]), Some("lens"));
    }
}
