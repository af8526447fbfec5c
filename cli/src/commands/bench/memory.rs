//! The memory that this process takes, as Linux counts it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Time between two samples, of which one takes some ten microseconds. Memory that comes and goes
/// in between is missed; the buffers of a training step live longer.
const INTERVAL: Duration = Duration::from_millis(5);

/// Peaks in bytes; `None` where the system does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    /// Everything resident: exact, kept by the kernel.
    pub rss: Option<u64>,
    /// The process's own memory: the largest sample, see [`INTERVAL`].
    pub anon: Option<u64>,
    /// Mapped files, the model above all: likewise.
    pub file: Option<u64>,
}

/// A thread that looks at this process's memory.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl Watch {
    /// Starts looking.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut peak = Peak::default();
            loop {
                // Asked before the look, so that one comes after the end.
                let last = stopped.load(Ordering::Acquire);
                peak = peak.max(look());
                if last || peak == Peak::default() {
                    return peak;
                }
                thread::sleep(INTERVAL);
            }
        });
        Self { stop, thread }
    }

    /// The peaks since the start.
    pub fn stop(self) -> Peak {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the thread does not panic")
    }
}

impl Peak {
    fn max(self, other: Self) -> Self {
        let Self { rss, anon, file } = other;
        Self { rss: self.rss.max(rss), anon: self.anon.max(anon), file: self.file.max(file) }
    }
}

fn look() -> Peak {
    fs::read_to_string("/proc/self/status").map_or_else(|_| Peak::default(), |text| parse(&text))
}

fn parse(status: &str) -> Peak {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    };
    Peak { rss: bytes("VmHWM:"), anon: bytes("RssAnon:"), file: bytes("RssFile:") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_status_are_found() {
        let peak = parse("Name:\tcutq\nVmHWM:\t   900 kB\nRssAnon:\t 7 kB\nRssFile:\t 5 kB\n");
        let kib = |n: u64| Some(n * 1024);
        assert_eq!(peak, Peak { rss: kib(900), anon: kib(7), file: kib(5) });
        assert_eq!(parse("VmHWM: many"), Peak::default());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_has_been_freed_is_in_the_peak() {
        let bytes = 64 << 20;
        let before = look().anon.expect("Linux says");
        let watch = Watch::start();
        let memory = vec![1_u8; bytes];
        // Long enough for several looks on a busy machine.
        thread::sleep(20 * INTERVAL);
        drop(std::hint::black_box(memory));
        let peak = watch.stop().anon.expect("Linux says");
        // The kernel counts pages in batches per core.
        assert!(peak > before + (bytes as u64 * 9 / 10), "{before} {peak}");
    }
}
