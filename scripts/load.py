"""How much of the machine other programs use, so that no speed is trusted that they slowed down.

The load average will not do: it is still high minutes after the work that raised it has ended.
"""
import os
import pathlib
import time

STAT = pathlib.Path("/proc/stat")

# Of one core. An idle machine's daemons take a few hundredths; a build takes a core or more, and one
# busy thread is enough to hold up a step that divides its work evenly.
LIMIT = 0.2


def is_busy(cores):
    return cores > LIMIT


def busy_seconds(stat):
    """CPU time that all programs have used since the machine started, from the text of /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """CPU time of this process and of its children that have ended."""
    return sum(os.times()[:4])


class OtherWork:
    """Measures the cores that other programs use from its making to a call of `cores`."""

    def __init__(self):
        self.started = time.monotonic()
        self.before = self.seconds()

    @staticmethod
    def seconds():
        return busy_seconds(STAT.read_text()) - own_seconds() if STAT.exists() else None

    def cores(self, own_threads=0):
        """Their average. Where there is no /proc/stat, the load average beyond `own_threads`, of which
        an idle machine's is not 0: a quarter of its cores are forgiven."""
        if self.before is None:
            forgiven = own_threads + os.cpu_count() / 4
            return max(0.0, os.getloadavg()[0] - forgiven)
        return max(0.0, (self.seconds() - self.before) / (time.monotonic() - self.started))


def other_cores(seconds=2.0):
    """The cores that other programs use over the next `seconds`."""
    work = OtherWork()
    time.sleep(seconds)
    return work.cores()
