//! The schedule: when each journey starts.
//!
//! It depends only on the settings and the seed, and not on the speed of the target. So the load is
//! open loop.

use std::time::Duration;

use clap::ValueEnum;
use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};
use serde::Serialize;

use crate::journey::{Case, Mix};

/// The distribution of start times. Both have the same mean rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Independent users: exponential gaps (a Poisson process)
    Steady,
    /// Eight times the rate in the first second of every eight, nothing in the other seven
    Burst,
}

/// Seconds from the start of one burst to the next, and the factor of the rate within one.
const BURST: f64 = 8.0;

/// The parameters of a schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Journeys per second.
    pub(crate) rate: f64,
    pub(crate) shape: Shape,
    pub(crate) mix: Mix,
    /// Share of bad input.
    pub(crate) bad: f64,
    /// `None` means endless.
    pub(crate) length: Option<Duration>,
    pub(crate) count: Option<u64>,
}

/// A scheduled journey.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Planned {
    /// The scheduled start, relative to the start of the run.
    pub(crate) at: Duration,
    pub(crate) case: Case,
    /// A random number for choices that depend on the pools at the start of the journey.
    pub(crate) draw: u64,
}

/// The journeys of a [`Plan`] by start time. They are generated one at a time, so an endless run
/// needs no more memory than a short one.
#[derive(Debug)]
pub(crate) struct Schedule {
    plan: Plan,
    // Gives the same numbers in every version of `rand`. `StdRng` does not guarantee that.
    rng: Xoshiro256PlusPlus,
    /// Seconds since the start, without the quiet seconds between bursts.
    clock: f64,
    left: Option<u64>,
}

impl Schedule {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(plan.seed),
            clock: 0.0,
            left: plan.count,
            plan,
        }
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        if self.left == Some(0) {
            return None;
        }
        let rate = match self.plan.shape {
            Shape::Steady => self.plan.rate,
            Shape::Burst => self.plan.rate * BURST,
        };
        // The inverse of the exponential distribution. 1 - u is never 0.
        let u: f64 = self.rng.random();
        self.clock += -(1.0 - u).ln() / rate;
        let seconds = match self.plan.shape {
            Shape::Steady => self.clock,
            // The clock counts only seconds of bursts. This adds the quiet seconds between them.
            Shape::Burst => self.clock.trunc() * BURST + self.clock.fract(),
        };
        let at = Duration::try_from_secs_f64(seconds).ok()?;
        if self.plan.length.is_some_and(|length| at >= length) {
            return None;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        Some(Planned {
            at,
            case: Case::choose(self.plan.mix, self.plan.bad, &mut self.rng),
            draw: self.rng.next_u64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shape: Shape) -> Plan {
        Plan {
            seed: 7,
            rate: 200.0,
            shape,
            mix: "register=1,login=3,me=6,logout=1".parse().unwrap(),
            bad: 0.1,
            length: Some(Duration::from_secs(400)),
            count: None,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_sequence() {
        let take = |plan| Schedule::new(plan).take(1_000).collect::<Vec<_>>();
        for shape in [Shape::Steady, Shape::Burst] {
            let plan = plan(shape);
            assert_eq!(take(plan), take(plan));
            assert_ne!(take(plan), take(Plan { seed: 8, ..plan }));
        }
    }

    #[test]
    fn a_seed_gives_the_same_sequence_in_later_versions() {
        let first = Schedule::new(plan(Shape::Steady)).next().unwrap();
        assert_eq!(
            (first.at.as_micros(), first.draw),
            (284, 17_776_380_574_336_353_142)
        );
    }

    #[test]
    fn both_shapes_have_the_rate_on_average() {
        for shape in [Shape::Steady, Shape::Burst] {
            let count = Schedule::new(plan(shape)).count();
            assert!(count.abs_diff(80_000) < 1_200, "{shape:?}: {count}");
        }
    }

    #[test]
    fn steady_gaps_are_exponential() {
        let starts: Vec<f64> = Schedule::new(plan(Shape::Steady))
            .map(|planned| planned.at.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // The share of gaps above the mean is 1/e.
        let above = gaps.iter().filter(|gap| **gap > 1.0 / 200.0).count() as f64;
        let share = above / gaps.len() as f64;
        assert!((share - 0.368).abs() < 0.02, "{share}");
    }

    #[test]
    fn bursts_fill_one_second_of_eight() {
        let starts: Vec<Duration> = Schedule::new(plan(Shape::Burst))
            .map(|planned| planned.at)
            .collect();
        assert!(starts.iter().all(|at| at.as_secs() % 8 == 0));
        let first = starts.iter().filter(|at| at.as_secs() == 0).count();
        assert!(first.abs_diff(1_600) < 200, "{first}");
    }

    #[test]
    fn start_times_never_decrease() {
        for shape in [Shape::Steady, Shape::Burst] {
            let starts: Vec<Duration> = Schedule::new(plan(shape))
                .map(|planned| planned.at)
                .collect();
            assert!(starts.is_sorted());
        }
    }

    #[test]
    fn a_count_ends_it() {
        let plan = Plan {
            count: Some(3),
            length: None,
            ..plan(Shape::Steady)
        };
        assert_eq!(Schedule::new(plan).count(), 3);
    }
}
