//! The colors of services.

use std::collections::{BTreeSet, HashSet};

/// Number of colors: the classes `v0` to `v9` of traces.css.
const COLORS: usize = 10;

const FILLED: [&str; COLORS] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9"];

const HOLLOW: [&str; COLORS] = [
    "v0 hollow",
    "v1 hollow",
    "v2 hollow",
    "v3 hollow",
    "v4 hollow",
    "v5 hollow",
    "v6 hollow",
    "v7 hollow",
    "v8 hollow",
    "v9 hollow",
];

/// The marks of the services of a page.
///
/// The color of a service depends on its name alone, so that it is the same on all pages and after a restart. If
/// several services of a page have one color, the first of them in alphabetical order has filled marks, and the others
/// have hollow ones. A name is beside each mark.
#[derive(Debug)]
pub(in super::super) struct Palette<'a> {
    hollow: HashSet<&'a str>,
}

impl<'a> Palette<'a> {
    pub(in super::super) fn new(services: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hollow: BTreeSet<&str> = services.into_iter().collect();
        let mut taken = [false; COLORS];
        hollow.retain(|service| std::mem::replace(&mut taken[color(service)], true));
        Self {
            hollow: hollow.into_iter().collect(),
        }
    }

    /// The classes of the marks of a service.
    pub(in super::super) fn class(&self, service: &str) -> &'static str {
        match self.hollow.contains(service) {
            true => HOLLOW[color(service)],
            false => FILLED[color(service)],
        }
    }
}

/// The number of a color, by FNV-1a: a hash that is the same in each run.
fn color(service: &str) -> usize {
    let hash = service
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash % COLORS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_color_depends_on_the_name_alone() {
        let known = [("auth", "v7"), ("frontend", "v5"), ("user", "v4")];
        for (name, class) in known {
            assert_eq!(Palette::new([name]).class(name), class);
            let many: Vec<String> = (0..50).map(|number| format!("service {number}")).collect();
            let all = many.iter().map(String::as_str).chain([name]);
            let class_of_many = Palette::new(all).class(name);
            assert_eq!(class_of_many.split(' ').next(), Some(class));
        }
    }

    #[test]
    fn services_of_one_color_have_different_marks() {
        // All three have the hash of `v3`.
        let services = ["payment", "lens", "checkout"];
        let palette = Palette::new(services.into_iter().chain(["auth", "lens"]));
        let classes = services.map(|service| palette.class(service));
        assert_eq!(classes, ["v3 hollow", "v3 hollow", "v3"]);
        assert_eq!(palette.class("auth"), "v7");
    }
}
