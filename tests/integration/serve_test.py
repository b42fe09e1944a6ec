"""What an engine is started with and in: signals, modes, addresses, settings, a poor environment."""

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


def refused(folder, *options, code=1, **process):
    """Starts an engine that can't start; nothing in the folder may change. What it said."""
    before = tree(folder)
    done = subprocess.run([BINARY, "serve", *options], capture_output=True, text=True,
                          timeout=harness.WAIT_S, **process)
    assert done.returncode == code, (options, done)
    assert tree(folder) == before, options
    return done.stderr


def test_serve_refuses_addresses_before_it_makes_anything():
    with Folder() as folder, socket.create_server(("127.0.0.1", 0)) as taken, \
            socket.socket(socket.AF_UNIX) as ipc:
        data = os.path.join(folder, "data")
        file = os.path.join(folder, "file")
        with open(file, "w") as f:
            f.write("mine")
        ipc.bind(os.path.join(folder, "taken.sock"))
        ipc.listen()
        port = taken.getsockname()[1]
        long = "ipc://" + os.path.join(folder, "x" * 108)
        cases = [
            ("ipc:///nodir/x.sock", "there is no folder /nodir"),
            ("ipc://%s/x.sock" % file, "is not a directory"),
            ("ipc://" + file, "is not a socket: it is left alone"),
            ("ipc://" + folder, "is not a socket: it is left alone"),
            ("ipc://" + os.path.join(folder, "taken.sock"), "in use"),
            ("ipc://", "path is missing"),
            (long, "a socket's path may have 107 at most"),
            ("tcp://127.0.0.1:%d" % port, "in use"),
            ("tcp://192.0.2.1:7411", "no interface of this machine"),
            ("tcp://host.invalid:7411", "can't be resolved"),
            ("tcp://127.0.0.1", "port is missing"),
            ("tcp://127.0.0.1:70000", "port 70000"),
            ("tcp://::1:7411", "brackets"),
            ("tcp://[::1:7411", "bracket is not closed"),
            ("tcp://256.0.0.1:7411", "not an IPv4 address"),
            ("http://127.0.0.1:7411", "no scheme \"http\""),
            ("7411", "must be tcp://HOST:PORT or ipc://PATH"),
        ]
        for url, why in cases:
            for setting in ("--listen", "--stream", "--stream-fetch"):
                more = () if setting == "--listen" else ("--listen", "tcp://127.0.0.1:0")
                said = refused(folder, "--data", data, "--insecure", setting, url, *more)
                assert why in said, (setting, url, said)
                assert "can't listen on" in said and setting[2:] in said, said
            file_said = os.path.join(folder, "settings.ini")
            with open(file_said, "w") as f:
                f.write("listen = %s\n" % url)
            assert why in refused(folder, "--data", data, "--insecure", "--config", file_said)
        said = refused(folder, "--data", data, "--listen", "tcp://127.0.0.1:27001", "--stream",
                       "tcp://127.0.0.1:27001")
        assert "both can't be had" in said, said
        deep = os.path.join(folder, "d" * 100)
        said = refused(folder, "--data", deep)
        assert "a socket's path may have 107 at most" in said, said
        with open(file) as f:
            assert f.read() == "mine"


def test_serve_refuses_directories_before_it_makes_anything():
    with Folder() as folder:
        data = os.path.join(folder, "data")
        file = os.path.join(folder, "file")
        open(file, "w").close()
        os.symlink("nowhere", os.path.join(folder, "link"))
        free = ("--listen", "tcp://127.0.0.1:0")
        for options, why in (
                (("--data", os.path.join(folder, "a", "b")), "there is no"),
                (("--data", file), "is not a directory"),
                (("--data", os.path.join(file, "x")), "Not a directory"),
                (("--data", os.path.join(folder, "link")), "is a link"),
                (("--data", "x" * 300), "File name too long"),
                (("--data", "/proc/holdfast"), "can't be made"),
                (("--data", data, "--archive-dir", file), "is not a directory"),
                (("--data", data, "--archive-dir", os.path.join(folder, "a", "b")), "there is no"),
                (("--data", data, "--archive-dir", data), "own directory"),
                (("--data", data, "--archive-dir", os.path.join(folder, ".", "data", "wal")),
                 "own directory")):
            said = refused(folder, *options, *free)
            assert why in said, (options, said)
        code, _, err = serve_once("--data", data, "--archive-dir", os.path.join(data, "archive"), *free)
        assert code == 0, err
        shutil.rmtree(data)
        os.mkdir(data)
        open(os.path.join(data, "wal"), "w").close()
        assert "is not a directory" in refused(folder, "--data", data, *free)


def test_serve_in_a_folder_that_is_gone_says_so():
    with Folder() as folder:
        gone = os.path.join(folder, "gone")
        os.mkdir(gone)
        done = subprocess.run(["sh", "-c", 'cd "$1" && rmdir "$1" && exec "$2" serve', "sh", gone, BINARY],
                              capture_output=True, text=True, timeout=harness.WAIT_S)
        assert done.returncode == 1 and "data: ./holdfast-data can't be made: . has been removed" in done.stderr, done


def test_serve_on_any_path_there_may_be():
    with Folder() as folder:
        for name in ("with space", "it's \"quoted\"", "数据-ö", "back\\slash", "-dash"):
            data = os.path.join(folder, name)
            code, _, err = serve_once(
                "--data", data, "--listen", "tcp://127.0.0.1:0", "--listen",
                "ipc://" + os.path.join(data, "own.sock"))
            assert code == 0, (name, err)
            run("wal", "verify", "--data", data)
        os.symlink(os.path.join(folder, "with space"), os.path.join(folder, "link"))
        code, _, err = serve_once("--data", os.path.join(folder, "link"), "--listen",
                                  "tcp://127.0.0.1:0")
        assert code == 0, err


def test_serve_takes_over_a_socket_that_was_left():
    with Folder() as folder:
        sock = os.path.join(folder, "s.sock")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(sock)
        code, out, err = serve_once("--data", os.path.join(folder, "data"), "--listen", "ipc://" + sock)
        assert code == 0 and "ready" in out, err
        with Engine("--listen", "ipc://" + os.path.join(folder, "two.sock")):
            said = refused(folder, "--data", os.path.join(folder, "data2"), "--listen",
                           "ipc://" + os.path.join(folder, "two.sock"))
            assert "in use" in said, said


def test_serve_wants_a_token_where_strangers_get():
    with Folder() as folder:
        data = os.path.join(folder, "data")
        secret = os.path.join(folder, "token")
        with open(secret, "w") as f:
            f.write("hush hush\n")
        os.chmod(secret, 0o600)
        for url in ("tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://*:0", "tcp://:0"):
            said = refused(folder, "--data", data, "--listen", url)
            assert "insecure" in said and "token-file" in said, said
            code, _, err = serve_once("--data", data, "--listen", url, "--token-file", secret)
            assert code == 0, (url, err)
            assert "ps" not in err, err
            shutil.rmtree(data)
        code, _, err = serve_once("--data", data, "--listen", "tcp://0.0.0.0:0", "--insecure")
        assert code == 0, err
        code, _, err = serve_once("--data", data, "--listen", "tcp://127.0.0.1:0", "--token", "x")
        assert code == 0 and "use --token-file" in err, err


def test_token_files_of_engine_and_commands():
    with Folder() as folder:
        secret = os.path.join(folder, "token")
        with open(secret, "wb") as f:
            f.write(b"hush hush\r\n")
        os.chmod(secret, 0o600)
        with Engine("--token-file", secret) as engine:
            run("status", "--url", engine.url, expect=1)
            run("status", "--url", engine.url, "--token", "hush hush")
            run("status", "--url", engine.url, "--token-file", secret)
            run("load", "--url", engine.url, "--token-file", secret, "--orders", "10", "--skus", "1", "--quiet")
            os.chmod(secret, 0o644)
            run("status", "--url", engine.url, "--token-file", secret, expect=2)
            engine.stop()
        said = refused(folder, "--token-file", secret, "--data", os.path.join(folder, "d"), code=2)
        assert "chmod 600" in said, said
        for text in (b"", b"\n", b"a\nb\n", b"x" * 257):
            with open(secret, "wb") as f:
                f.write(text)
            os.chmod(secret, 0o600)
            refused(folder, "--token-file", secret, "--data", os.path.join(folder, "d"), code=2)
        refused(folder, "--token-file", os.path.join(folder, "none"), "--data", os.path.join(folder, "d"), code=2)


def test_serve_with_few_descriptors_and_little_locked_memory():
    """It starts, or says what is missing before it makes anything."""
    for limit, most, starts in ((resource.RLIMIT_NOFILE, 16, False), (resource.RLIMIT_NOFILE, 63, False),
                                (resource.RLIMIT_NOFILE, 64, True), (resource.RLIMIT_MEMLOCK, 0, True)):
        with Folder() as folder:
            data = os.path.join(folder, "data")
            code, out, err = serve_once(
                "--data", data, "--listen", "tcp://127.0.0.1:0",
                preexec_fn=lambda: resource.setrlimit(limit, (most, most)))
            if starts:
                assert code == 0 and "ready" in out and "ERROR" not in err, (limit, most, code, err)
            else:
                assert code == 1 and "RLIMIT_NOFILE" in err and not os.path.exists(data), err


if __name__ == "__main__":
    harness.main(globals())
