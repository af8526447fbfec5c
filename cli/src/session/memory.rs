//! What the system tells about memory.

use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// Bytes that this process has resident now; none where the system does not tell.
pub fn resident() -> Option<u64> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    Some(system.process(pid)?.memory())
}

/// Bytes that programs can have without the system swapping, within this process's limits.
pub fn available() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let available = system.available_memory();
    let limits = system.cgroup_limits().map(|limits| limits.free_memory);
    // Systems that do not tell report zero.
    (available > 0).then(|| limits.unwrap_or(available).min(available))
}
