"""What a run notes of its surroundings: the commit, read without running git, and a new folder."""

import os
import subprocess
import sys

import pytest

from eosin.experiment.environment import default_output, read_commit

PROGRAM = '[core]\n\tfsmonitor = "touch {0}"\n\tpager = "touch {0}"\n\thooksPath = {1}\n'


def git(folder, *arguments):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """Return a working tree with one commit."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.txt").write_text("a")
    git(folder, "add", "a.txt")
    git(folder, "commit", "-qm", "first")
    return folder


def head_of(folder):
    return git(folder, "rev-parse", "--short=12", "HEAD")


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [["checkout", "-q", "--detach"]],
        [["checkout", "-qb", "stain/macenko-2"]],
        [["pack-refs", "--all"]],
        [["symbolic-ref", "refs/heads/alias", "refs/heads/main"], ["checkout", "-q", "alias"]],
        [["commit", "-q", "--allow-empty", "-m", "second"], ["pack-refs", "--all"]],
    ],
)
def test_the_commit_is_that_of_git(tree, steps):
    for step in steps:
        git(tree, *step)
    (tree / "sub" / "sub").mkdir(parents=True)
    assert read_commit(tree) == read_commit(tree / "sub" / "sub") == head_of(tree)


def test_a_worktree_has_its_own_commit(tree):
    git(tree, "worktree", "add", "-qb", "other", str(tree.parent / "other"))
    git(tree, "commit", "-q", "--allow-empty", "-m", "second")
    git(tree, "pack-refs", "--all")
    assert read_commit(tree.parent / "other") == head_of(tree.parent / "other")
    assert read_commit(tree) == head_of(tree) != read_commit(tree.parent / "other")


def test_there_is_none_outside_a_working_tree_and_before_the_first_commit(tmp_path):
    assert read_commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert read_commit(tmp_path) is None


def test_no_program_of_a_foreign_repository_is_run(tree):
    mark = tree.parent / "mark"
    with (tree / ".git" / "config").open("a") as config:
        config.write(PROGRAM.format(mark, tree))
    git(tree, "status")
    assert mark.exists()  # git itself runs it
    mark.unlink()
    started = (
        "import sys; from pathlib import Path; "
        "sys.addaudithook(lambda event, _: sys.exit(event) if event in "
        "{'subprocess.Popen', 'os.exec', 'os.system', 'os.posix_spawn', 'os.fork'} else None); "
        "from eosin.experiment.environment import describe; "
        "print(describe(seconds={}, command='train', device='cpu', precision='32-true', seed=0, "
        "data_root='', data_fingerprint='', dataset={}).git)"
    )
    done = subprocess.run(
        [sys.executable, "-c", started], cwd=tree, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == head_of(tree), done.stderr
    assert not mark.exists()


HEX = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    "head",
    [
        b"", b"ref:", b"ref: ", b"ref: refs/heads/../../secret", b"ref: /etc/hostname",
        b"ref: refs/heads/\x00", b"ref: refs/heads/\xff", b"ref: refs/heads", b"\xff\xfe" * 9000,
        HEX[:-1].encode(), (HEX + "0").encode(), b"ref: refs/" + b"a" * 5000,
        b"ref: refs/heads/loop", HEX.upper().encode(), b"../" * 1000, b"ref: ref: refs/heads/main",
    ],
)  # fmt: skip
def test_a_hostile_head_names_no_commit(tmp_path, head):
    refs = tmp_path / ".git" / "refs" / "heads"
    refs.mkdir(parents=True)
    (tmp_path / ".git" / "HEAD").write_bytes(head)
    (tmp_path / "secret").write_text(HEX)
    (tmp_path / ".git" / "secret").write_text(HEX)
    (refs / "loop").write_text("ref: refs/heads/loop")
    assert read_commit(tmp_path) is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", [".git", ".git/HEAD", ".git/packed-refs", ".git/commondir"])
@pytest.mark.parametrize("kind", ["pipe", "device", "loop", "folder"])
def test_what_is_no_file_is_not_read(tmp_path, place, kind):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    if place not in {".git", ".git/HEAD"}:
        (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)
    assert read_commit(tmp_path) is None


@pytest.mark.parametrize(
    "named", [b"\x00", b"\xff", b".", b"/dev/zero", b"/proc/self", b"a" * 4000, b"../.git", b""]
)
def test_a_git_file_may_name_anything(tmp_path, named):
    (tmp_path / ".git").write_bytes(b"gitdir: " + named)
    assert read_commit(tmp_path) is None


def test_two_outputs_of_one_second_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = set()
    for _ in range(20):
        folder = default_output("evaluate")
        folder.mkdir(parents=True)
        made.add(folder.name)
    assert len(made) == 20
