//! The memory that this process can have.

use std::{fs, path::Path};

/// What a full lens needs beyond its memory for telemetry in a flood of requests of 4 MiB, in bytes: the figure of
/// docs/lens.md.
const ON_TOP: u64 = 48 << 20;

/// Warns if the machine has less memory than a full lens needs. The default of a small container is no error: it may
/// never be full.
pub(crate) fn check_memory(memory: usize) {
    let needed = (memory as u64).saturating_add(ON_TOP);
    if let Some(limit) = limit(Path::new("/")).filter(|limit| *limit < needed) {
        tracing::warn!(
            "LENS_MEMORY is {} MiB and lens needs up to {} MiB more, but this machine or container has {} MiB; the system \
             may kill the process before lens is full",
            memory >> 20,
            ON_TOP >> 20,
            limit >> 20
        );
    }
}

/// The memory of the machine, or the smallest limit of the control groups of this process, in bytes. `None` if the
/// system does not say it in files.
fn limit(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total: u64 = total.trim().strip_suffix(" kB")?.parse().ok()?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|line| of_group(root, line));
    limits.chain([total << 10]).min()
}

/// The limits of a control group and of those around it: `NUMBER:CONTROLLERS:/PATH`.
fn of_group(root: &Path, line: &str) -> Vec<u64> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (folder, file) = match fields.next() {
        Some("") => ("sys/fs/cgroup", "memory.max"),
        Some("memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let path = Path::new(fields.next().unwrap_or_default().trim_start_matches('/'));
    // A group without a limit says `max`, or in version 1 a number above all memory.
    let limit = |group: &Path| {
        let text = fs::read_to_string(root.join(folder).join(group).join(file)).ok()?;
        text.trim().parse().ok()
    };
    path.ancestors().filter_map(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_counts() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        assert_eq!(limit(root), None);
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/meminfo", "MemTotal:       24576 kB\nMemFree: 1 kB\n");
        assert_eq!(limit(root), Some(24 << 20));
        // Version 2, in which a group around it has the limit.
        write("proc/self/cgroup", "0::/system.slice/lens.service\n");
        write(
            "sys/fs/cgroup/system.slice/lens.service/memory.max",
            "max\n",
        );
        assert_eq!(limit(root), Some(24 << 20));
        write("sys/fs/cgroup/system.slice/memory.max", "4194304\n");
        assert_eq!(limit(root), Some(4 << 20));
        // A container sees its group as the root.
        write("proc/self/cgroup", "0::/\n");
        write("sys/fs/cgroup/memory.max", "2097152\n");
        assert_eq!(limit(root), Some(2 << 20));
        // Version 1.
        write("proc/self/cgroup", "5:cpu:/a\n4:memory:/a\n");
        write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1048576\n");
        assert_eq!(limit(root), Some(1 << 20));
        write(
            "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(limit(root), Some(24 << 20));
    }
}
