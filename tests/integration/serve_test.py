"""What an engine is started with and in: signals, modes, addresses, settings, a poor environment."""

import fcntl
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import tempfile

import harness
from harness import BINARY, Engine, run, wait_until


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def tree(folder):
    """All that is under a folder, with what a touch would change."""
    found = {}
    for where, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(where, name)
            about = os.lstat(path)
            found[path] = (about.st_mode, about.st_size, about.st_mtime_ns)
    return found


class Folder:
    """A folder that goes in the end."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="holdfast-serve-")
        return self.path

    def __exit__(self, *unused):
        shutil.rmtree(self.path, ignore_errors=True)


def serve_once(*options, stop=True, **process):
    """Starts an engine, waits until it is ready, stops it; its exit code and what it said."""
    engine = subprocess.Popen([BINARY, "serve", "--wal-segment-bytes", "4M", "--wal-spare-segments", "1",
                               "--orders-max", "1000", "--orders-ready", "0", *options],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **process)
    lines = []
    for line in engine.stdout:
        lines.append(line.strip())
        if line.strip() == "ready":
            break
    if stop and engine.poll() is None and lines and lines[-1] == "ready":
        engine.send_signal(signal.SIGTERM)
    out, err = engine.communicate(timeout=harness.WAIT_S)
    return engine.returncode, "\n".join(lines) + out, err


def test_serve_lives_through_sighup_and_sigpipe():
    with Engine() as engine:
        for _ in range(3):
            engine.process.send_signal(signal.SIGHUP)
            engine.process.send_signal(signal.SIGPIPE)
        wait_until(lambda: "SIGHUP" in engine.errors(), "a line about SIGHUP")
        assert engine.process.poll() is None
        run("status", "--url", engine.url)
        engine.process.send_signal(signal.SIGHUP)
        engine.stop()


def test_serve_makes_files_for_owner_and_group():
    """The umask takes more away, and never gives."""
    for umask in (0o000, 0o022, 0o077):
        with Folder() as folder:
            data = os.path.join(folder, "data")
            archive = os.path.join(folder, "archive")
            sock = os.path.join(folder, "s.sock")
            engine = subprocess.Popen(
                [BINARY, "serve", "--data", data, "--archive-dir", archive, "--listen",
                 "ipc://" + sock, "--listen", "tcp://127.0.0.1:0", "--wal-segment-bytes", "4M",
                 "--orders-max", "1000", "--orders-ready", "0"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                preexec_fn=lambda: os.umask(umask))
            try:
                for line in engine.stdout:
                    if line.strip() == "ready":
                        break
                assert mode_of(data) == 0o750 & ~umask, oct(mode_of(data))
                assert mode_of(sock) == 0o660 & ~umask, oct(mode_of(sock))
                seen = tree(data)
                assert any(path.endswith(".seg") for path in seen)
                for path, (mode, _, _) in seen.items():
                    right = 0o750 if stat.S_ISDIR(mode) else 0o640
                    assert stat.S_IMODE(mode) == right & ~umask, (path, oct(mode))
            finally:
                engine.kill()
                engine.communicate()


def test_serve_says_that_a_directory_lets_others_in_and_leaves_it():
    with Folder() as folder:
        for mode, said in ((0o755, True), (0o770, True), (0o750, False), (0o700, False), (0o2750, False)):
            os.chmod(folder, mode)
            code, _, err = serve_once("--data", folder, "--listen", "tcp://127.0.0.1:0")
            assert code == 0, err
            assert ("lets others in" in err) == said, (oct(mode), err)
            assert mode_of(folder) == mode


def test_serve_with_closed_standard_files_keeps_its_log_clean():
    """Else the first file gets the number of stderr, and messages are written into it."""
    with Folder() as folder:
        data = os.path.join(folder, "data")
        sock = os.path.join(folder, "s.sock")

        def close_all():
            for fd in (0, 1, 2):
                os.close(fd)
        engine = subprocess.Popen(
            [BINARY, "serve", "--data", data, "--listen", "ipc://" + sock, "--wal-segment-bytes", "4M",
             "--orders-max", "1000", "--orders-ready", "0"], preexec_fn=close_all)
        try:
            wait_until(lambda: os.path.exists(sock), "a socket")
            wait_until(lambda: subprocess.run([BINARY, "status", "--url", "ipc://" + sock],
                                              capture_output=True).returncode == 0, "an answer")
            for fd in (0, 1, 2):
                assert os.readlink("/proc/%d/fd/%d" % (engine.pid, fd)) == "/dev/null"
            engine.send_signal(signal.SIGTERM)
            code = engine.wait(harness.WAIT_S)
            assert code == 0, code
        finally:
            if engine.poll() is None:
                engine.kill()
                engine.wait()
        run("wal", "verify", "--data", data)
        assert os.path.getsize(os.path.join(data, "LOCK")) == 0


def test_serve_where_files_may_not_be_large_says_so():
    """RLIMIT_FSIZE: an error of the write, not SIGXFSZ."""
    with Folder() as folder:
        code, _, err = serve_once(
            "--data", os.path.join(folder, "data"), "--listen", "tcp://127.0.0.1:0",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        assert code == 1, (code, err)
        assert "File too large" in err, err


if __name__ == "__main__":
    harness.main(globals())
