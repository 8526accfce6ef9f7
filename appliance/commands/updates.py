"""What `appliance update` does: look for releases as an unprivileged account, install and watch them as root."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import platform
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from appliance.device import board, listening_address
from appliance.service import loading
from appliance.service.linking import device_id
from appliance.settings.schema import Settings
from appliance.settings.schema.update import UpdateSettings
from appliance.update import guard_state, last_check, proxy, staging, switching, unpack, window
from appliance.update.gate import Judgement
from appliance.update.last_check import LastCheck
from appliance.update.observing import Observer
from appliance.update.offer import Offer, Platform
from appliance.update.places import ACCOUNT, UNREACHABLE, UpdateError, UpdatePlaces, unreadable
from appliance.update.single_file import opened
from appliance.update.sources import Fetcher
from appliance.update.staging import Wanted

REQUEST = "install-requested"
"""The file in the updates' folder that `appliance-update-install.path` waits for: the name of a staged release."""
PROGRAM = Path("/opt/appliance/current/venv/bin/appliance")
Say = Callable[[str], None]


def here() -> Platform:
    return Platform(platform.machine(), f"{sys.version_info.major}.{sys.version_info.minor}")


def wanted(settings: Settings, source: str, *, by_person: bool, downgrade: bool = False) -> Wanted:
    """What to look for. `source`: an address or folder in place of the configured one. Raises UpdateError."""
    place = source or settings.update.source
    if not place:
        raise UpdateError("no source: set update.source, or name an address, folder or file", "update_absent")
    if not place.startswith("https://"):
        folder = Path(place).absolute()
        try:
            found = (folder / "metadata").is_dir()
        except OSError:
            raise unreadable(folder) from None
        if not found:
            raise UpdateError(f"{folder} is not a repository: it has no folder `metadata`", UNREACHABLE)
        place = f"file://{folder}"
    identity = device_id(settings.mqtt, board.identify().serial)
    return Wanted(place, settings.update.channel, here(), identity, by_person, downgrade)


def with_channel(settings: Settings, channel: str) -> Settings:
    return msgspec.structs.replace(settings, update=msgspec.structs.replace(settings.update, channel=channel))


def fetcher(settings: Settings, places: UpdatePlaces, environ: Mapping[str, str] = os.environ) -> Fetcher:
    """Reads the repository, through the proxy of this site if there is one. Raises UpdateError, and notes it."""
    try:
        return Fetcher(places.work, proxy=proxy.find(settings.update.proxy, environ))
    except ValueError as error:
        invalid = UpdateError(f"the proxy is invalid: {error}. Set update.proxy", UNREACHABLE)
        staging.note(places, time.time(), invalid)
        raise invalid from None


def check(settings: Settings, places: UpdatePlaces, source: str) -> LastCheck:
    """Find out what is offered. Raises UpdateError."""
    with opened(places, source) as place:
        look_for = wanted(settings, place, by_person=False)
        return staging.check(places, look_for, fetcher(settings, places), time.time())


def fetch(settings: Settings, places: UpdatePlaces, source: str, say: Say, *, downgrade: bool) -> Offer:
    """Stage the offered release because a person wants it. Raises UpdateError."""
    with opened(places, source) as place:
        look_for = wanted(settings, place, by_person=True, downgrade=downgrade)
        return staging.fetch(places, look_for, fetcher(settings, places), time.time(), say)


def fetch_by_itself(
    settings: Settings,
    places: UpdatePlaces,
    say: Say,
    now: Callable[[], datetime.datetime] = datetime.datetime.now,
    sleep: Callable[[float], None] = time.sleep,
) -> Offer | None:
    """What the timer does: check, and in the window also stage a release and ask root for it. Raises UpdateError.

    A release whose download has ended after the window is installed in the next one. What is staged is the newest
    release by then, not the one found before a wait for the window. Returns what is installed.
    """
    found = check(settings, places, "")
    offer, update = found.offer, settings.update
    if offer is None or not found.for_this_device or not update.automatic:
        return None
    if _postponed(offer, update, places) or not window.has_begun(update.window, now, sleep):
        return None
    if not staging.is_staged(places, offer):
        with opened(places, "") as place:
            look_for = wanted(settings, place, by_person=False)
            offer = staging.fetch(places, look_for, fetcher(settings, places), time.time(), say)
        if _postponed(offer, update, places):
            say(f"{offer.name} is installed {update.postpone_days} days after its signature")
            return None
        if not window.contains(update.window, now()):
            say(f"{offer.name} is installed in the next window, {update.window}: this one has ended meanwhile")
            return None
    request(places, offer.name)
    return offer


def _postponed(offer: Offer, update: UpdateSettings, places: UpdatePlaces) -> bool:
    """Whether a release was signed too recently."""
    return staging.latest_time_s(places, time.time()) - offer.signed_s < update.postpone_days * 86_400


def request(places: UpdatePlaces, name: str) -> None:
    """Ask root to install a staged release. Raises OSError."""
    (places.work / REQUEST).write_text(f"{name}\n", encoding="ascii")


def as_unprivileged(arguments: Sequence[str], through: str = "", environ: Mapping[str, str] = os.environ) -> int:
    """Run this program as the account of the updates; returns the exit code. Raises UpdateError.

    `through`: the proxy of the settings. It goes into the environment, since anybody may read the arguments.
    """
    try:
        account = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise UpdateError(f"the account {ACCOUNT} is missing: run the installer again") from None
    command = [str(PROGRAM), "update", *arguments]
    given = {name: environ[name] for name in proxy.VARIABLES if name in environ}
    proxy_of = {"https_proxy": through} if through else given
    done = subprocess.run(
        command, user=account.pw_uid, group=account.pw_gid, extra_groups=[], cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "APPLIANCE_CONFIG": os.devnull, **proxy_of},
    )  # fmt: skip
    return done.returncode


def install_requested(places: UpdatePlaces) -> Offer:
    """Install the release whose name was left, and put it on trial: root's part. Raises UpdateError."""
    path = places.work / REQUEST
    try:
        name = unpack.read_name(path)
    finally:
        path.unlink(missing_ok=True)
    with _only_installer(places):
        return _install(places, name)


@contextlib.contextmanager
def _only_installer(places: UpdatePlaces) -> Iterator[None]:
    """Wait for the installer, if it is running. Meanwhile the update guard removes no release that is incomplete."""
    places.lock.parent.mkdir(parents=True, exist_ok=True)
    with places.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(places: UpdatePlaces, name: str) -> Offer:
    observer = Observer(listening_address.local_url)
    earlier = observer.several()
    places.last_install.unlink(missing_ok=True)
    try:
        offer = unpack.unpack(places, name, here(), time.time(), make_release)
        switching.warm(offer.name, observer.cooling)
        switching.begin_trial(places, offer, observer.baseline(earlier))
    except UpdateError as error:
        problem = LastCheck(checked_s=time.time(), problem=str(error), code=error.code)
        with contextlib.suppress(OSError):  # a full disk is the likely reason
            last_check.write(places.last_install, problem)
        raise
    return offer


def why_not_on_trial(places: UpdatePlaces, staged: str) -> str:
    """What came of an installation that failed: it may have failed before the trial or after its begin."""
    state, problem = guard_state.read(places.state), last_check.read(places.last_install).problem
    if state.on_trial:
        return f"the installation has failed, and {state.trying} is on trial. See: appliance update status"
    return (
        f"{staged} was not installed: {problem or 'see the lines above'}. "
        f"In use is {state.committed or 'the release before'}. See: appliance update status"
    )


def compile_networks(settings: Settings) -> str:
    """What the release does before it is used; returns what was done. Raises ModelError or EngineError."""
    started_s = time.monotonic()
    count = loading.compile_ahead(loading.in_force(settings))
    return (
        f"{count} networks are compiled, after {time.monotonic() - started_s:.0f} s" if count else "nothing to compile"
    )


def make_release(bundle: Path, release: Path) -> None:
    """Make the environment with the release's own script, which is signed like the rest."""
    script = release / "provisioning/make_release.sh"
    python = Path("/usr/bin/python3")
    if not (python.exists() and _version(python) == here().python):
        python = Path(sys.executable).resolve()
    tensorrt = Path(f"/usr/lib/python{here().python}/dist-packages/tensorrt")
    has = (tensorrt / "__init__.py").exists() and (bundle / "requirements-tensorrt.txt").exists()
    command = [str(script), "--bundle", str(bundle), str(release), str(python), str(tensorrt) if has else ""]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"})


def _version(python: Path) -> str:
    done = subprocess.run(
        [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
    )
    return done.stdout.strip()


def watch(settings: Settings, places: UpdatePlaces) -> Judgement:
    """Watch the release on trial."""
    observer = Observer(listening_address.local_url)
    return switching.watch(places, observer.observe, settings.update.commit_after_s)


def status_report(places: UpdatePlaces) -> dict[str, str]:
    """The state of the updates, for programs: names of releases, empty where there is none."""
    state, found = guard_state.read(places.state), last_check.read(places.last_check)
    return {
        "in_use": state.trying if state.on_trial else state.committed,
        "on_trial": state.trying if state.on_trial else "",
        "before": state.previous,
        "undone": state.undone,
        "why": state.why,
        "offered": found.offer.name if found.offer else "",
        "problem": next(iter(_problems(places)), ""),
    }


def _problems(places: UpdatePlaces) -> list[str]:
    """Why nothing was installed or found out: root's reason before that of the unprivileged part."""
    known = (last_check.read(path) for path in (places.last_install, places.last_check))
    return [one.problem for one in known if one.problem]


def status(places: UpdatePlaces) -> list[str]:
    """The state of the updates, for people."""
    state, found = guard_state.read(places.state), last_check.read(places.last_check)
    lines = [f"in use:    {state.committed or 'unknown'}"]
    if state.on_trial:
        lines.append(f"on trial:  {state.trying}; it is kept when it stays well, or undone")
    if state.previous:
        lines.append(f"before:    {state.previous}; to return to it: sudo appliance update rollback")
    if state.undone:
        lines.append(f"undone:    {state.undone}, because {state.why}")
    if found.offer is not None and found.for_this_device:
        lines.append(f"available: {found.offer.version} ({found.offer.name}); sudo appliance update install")
    lines += [f"problem:   {problem}" for problem in _problems(places)]
    if found.checked_s:
        date = datetime.datetime.fromtimestamp(found.checked_s).strftime("%Y-%m-%d %H:%M")
        lines.append(f"checked:   {date}")
    return lines
