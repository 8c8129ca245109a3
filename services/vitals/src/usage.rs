//! The resource usage of processes and their descendants. The supervisor reports only the processes
//! themselves, and their processor time only as a percentage.

/// The resource usage of a process and its descendants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    /// The start time of the process, which distinguishes it from a later one with the same id.
    pub(crate) started: u64,
    /// Processor time in seconds, including that of ended children.
    pub(crate) cpu: f64,
    /// Resident memory in bytes. Shared memory counts for each process.
    pub(crate) memory: u64,
}

/// Measures the processes with these ids, except those that have ended. Only on Linux: on other
/// systems the result is empty.
pub(crate) async fn measure(pids: Vec<i32>) -> Vec<(i32, Usage)> {
    #[cfg(target_os = "linux")]
    {
        telemetry::spawn_blocking(move || linux::measure(&pids)).await
    }
    #[cfg(not(target_os = "linux"))]
    {
        drop(pids);
        Vec::new()
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;

    use procfs::{
        WithCurrentSystemInfo as _,
        process::{Stat, all_processes},
    };

    use super::Usage;

    pub(super) fn measure(pids: &[i32]) -> Vec<(i32, Usage)> {
        let Ok(all) = all_processes() else {
            return Vec::new();
        };
        let all: Vec<Stat> = all
            .filter_map(|process| process.ok()?.stat().ok())
            .collect();
        let by_id: HashMap<i32, &Stat> = all.iter().map(|stat| (stat.pid, stat)).collect();
        let mut children = HashMap::<i32, Vec<&Stat>>::new();
        for stat in &all {
            children.entry(stat.ppid).or_default().push(stat);
        }
        pids.iter()
            .filter_map(|pid| Some((*pid, sum(by_id.get(pid)?, &children))))
            .collect()
    }

    fn sum(root: &Stat, children: &HashMap<i32, Vec<&Stat>>) -> Usage {
        let (mut ticks, mut memory) = (0, 0);
        let mut left = vec![root];
        // Each process has one parent, so this ends even if ids were reused during the reads.
        while let Some(stat) = left.pop() {
            // When a child ends, its time is added to its parent's, so it counts once.
            let ended = stat.cutime.saturating_add(stat.cstime);
            ticks += stat.utime + stat.stime + u64::try_from(ended).unwrap_or(0);
            memory += stat.rss_bytes().get();
            left.extend(children.get(&stat.pid).into_iter().flatten());
        }
        Usage {
            started: root.starttime,
            cpu: ticks as f64 / procfs::ticks_per_second() as f64,
            memory,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test]
    async fn the_usage_of_a_process_includes_its_children() {
        // The parent waits, and its child uses processor time.
        let script = "(i=0; while :; do i=$((i+1)); done) & child=$!; read _; kill $child";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped());
        let mut parent = Killed(command.spawn().unwrap());
        let pid = parent.0.id().try_into().unwrap();
        let myself: i32 = std::process::id().try_into().unwrap();

        let mut before = 0.0;
        while before < 0.05 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            let all = measure(vec![pid, myself, i32::MAX]).await;
            let [(_, parent), (_, own)] = all[..] else {
                panic!("{all:?}");
            };
            assert!(parent.memory > 100_000 && own.memory > parent.memory);
            assert!(parent.started >= own.started);
            assert!(parent.cpu >= before && own.cpu >= parent.cpu, "{all:?}");
            before = parent.cpu;
        }
        drop(parent.0.stdin.take());
        parent.0.wait().unwrap();
        assert_eq!(measure(vec![pid]).await, []);
    }
}
