//! The colors of services.

use std::collections::{BTreeSet, HashMap};

use crate::Lens;

/// Number of colors: the classes `v0` to `v9` of traces.css.
const COLORS: usize = 10;

const CLASSES: [&str; COLORS] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"];

/// The color of each service of a page.
///
/// Services that lens knows have the same colors on all pages. If two services of a page would have one color, the
/// second has the next that is free.
#[derive(Debug)]
pub(in super::super) struct Palette<'a>(HashMap<&'a str, usize>);

impl<'a> Palette<'a> {
    /// The colors of the services of a page.
    pub(in super::super) fn new(lens: &Lens, services: impl IntoIterator<Item = &'a str>) -> Self {
        let mut known: Vec<String> = lens
            .doctor
            .services()
            .into_iter()
            .map(|service| service.name)
            .collect();
        known.dedup();
        Self::of(&known, services)
    }

    /// `known` is sorted.
    fn of(known: &[String], services: impl IntoIterator<Item = &'a str>) -> Self {
        let services: BTreeSet<&str> = services.into_iter().collect();
        let mut taken = [0; COLORS];
        let colors = services.into_iter().map(|service| {
            let place = known.binary_search_by(|known| known.as_str().cmp(service));
            let first = place.unwrap_or_else(|_| hash(service)) % COLORS;
            let around = (0..COLORS).map(|step| (first + step) % COLORS);
            let color = around.min_by_key(|&color| taken[color]).unwrap_or(first);
            taken[color] += 1;
            (service, color)
        });
        Self(colors.collect())
    }

    /// The class of a service.
    pub(in super::super) fn class(&self, service: &str) -> &'static str {
        CLASSES[self.0.get(service).copied().unwrap_or(0)]
    }
}

/// FNV-1a. It must not change from one start to the next.
fn hash(text: &str) -> usize {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash % COLORS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_a_page_have_different_colors() {
        let names: Vec<String> = (0..COLORS)
            .map(|number| format!("service {number}"))
            .collect();
        let palette = Palette::of(&[], names.iter().map(String::as_str));
        let classes: BTreeSet<&str> = names.iter().map(|name| palette.class(name)).collect();
        assert_eq!(classes.len(), COLORS);
        let known = &names[..3];
        for name in known {
            let all = Palette::of(known, known.iter().map(String::as_str));
            let alone = Palette::of(known, [name.as_str()]);
            assert_eq!(alone.class(name), all.class(name));
        }
    }
}
