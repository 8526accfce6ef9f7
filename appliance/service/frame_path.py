"""Build the way of a frame: admission, mailboxes, inference, publishing; and the trial of another model on it."""

from __future__ import annotations

from appliance.device.profile import DeviceProfile
from appliance.errors import ModelError
from appliance.events.feed import EventFeed
from appliance.flow.activation import Activation
from appliance.flow.calibration_frames import FOLDER, CalibrationFrames
from appliance.flow.cameras import CameraBook
from appliance.flow.detector import Detector
from appliance.flow.inference import Inference
from appliance.flow.mailboxes import Mailboxes
from appliance.flow.network_in_use import NetworkInUse
from appliance.flow.optional import optional
from appliance.flow.pace import Pace
from appliance.governor.room import Room
from appliance.governor.targets import Policy
from appliance.models import active
from appliance.ports import Publish
from appliance.service import from_settings, loading
from appliance.service.parts import FramePath, Given, Loaded, in_safe_mode
from appliance.values import Detected, Frame, Outcome
from appliance.vision.admission import Admission
from appliance.web.connections import Connections
from appliance.web.ingress.limiter import ConnectionLimiter
from appliance.web.publisher import PredictAnswer, Publisher
from appliance.web.socket_server import delivery_through, make_server
from appliance.web.transport import Transport


def build_frame_path(
    given: Given, loaded: Loaded, limiter: ConnectionLimiter, policy: Policy | None, known: DeviceProfile | None
) -> FramePath:
    settings, clock = given.settings, given.clock
    admission = Admission(Room())
    book = CameraBook(
        policies=from_settings.camera_policies(settings),
        burst=settings.flow.burst,
        new_tracks=from_settings.new_tracks(settings, clock),
    )
    socket_server = make_server(from_settings.socket_options(settings))
    transport = Transport(socket_server, limiter)
    emit, backlog = delivery_through(socket_server)
    publisher = Publisher(
        emit=emit, backlog=backlog, keep_pictures=settings.server.keep_pictures, predict=_predict_from(book)
    )
    feed = EventFeed(from_settings.event_rules(settings), pictures_allowed=settings.server.keep_pictures, clock=clock)
    feed.add(publisher.post_event)
    pace = Pace(
        book,
        limits=from_settings.full_limits(settings) if policy is None else policy.ladder.steps[0].limits,
        announce=publisher.announce,
        jpeg_quality=settings.flow.jpeg_quality,
        clock=clock,
        refused_interval_s=settings.flow.aiming_interval_s,
        detail=from_settings.useful_detail(settings),
    )
    loading.learn_first_cost(settings, loaded.network, known, pace)
    frames = _calibration_frames(given, admission)
    return FramePath(
        admission=admission,
        book=book,
        socket_server=socket_server,
        transport=transport,
        connections=Connections(socket_server),
        publisher=publisher,
        feed=feed,
        pace=pace,
        detector=_detector(given, loaded, admission, book, pace, _publish_to(publisher, feed, frames)),
        calibration_frames=frames,
    )


def _calibration_frames(given: Given, admission: Admission) -> CalibrationFrames:
    settings = given.settings
    return CalibrationFrames(
        from_settings.state_dir(settings) / FOLDER,
        most=settings.model.calibration_frames,
        max_bytes=settings.model.calibration_max_bytes,
        max_side=settings.flow.max_side,
        decoder=given.decoder,
        admission=admission,
        clock=given.clock,
    )


def _publish_to(publisher: Publisher, feed: EventFeed, frames: CalibrationFrames) -> Publish:
    def publish(frame: Frame, outcome: Outcome) -> None:
        publisher.publish(frame, outcome)
        with optional("calibration frames", frame.camera):
            frames.note(frame, outcome)
        feed.note(frame, outcome)  # afterwards: the result does not wait for events

    return publish


def _detector(
    given: Given, loaded: Loaded, admission: Admission, book: CameraBook, pace: Pace, publish: Publish
) -> Detector:
    settings, clock, network = given.settings, given.clock, loaded.network
    inference = loading.inference_of(settings, network, clock, admission, given.decoder) if network else None
    return Detector(
        in_use=NetworkInUse(inference, loaded.error, pace=pace, clock=clock),
        mailboxes=Mailboxes(
            max_cameras=settings.flow.max_waiting,
            max_bytes=settings.flow.max_waiting_bytes,
            max_age_s=settings.flow.max_age_s,
            clock=clock,
        ),
        cache=from_settings.answer_cache(settings, clock),
        book=book,
        pace=pace,
        publish=publish,
        clock=clock,
        slow_frame_s=settings.flow.slow_frame_s,
        deadline_s=settings.flow.deadline_s,
    )


def build_activation(given: Given, path: FramePath) -> Activation:
    settings = given.settings

    def load_other(name: str) -> Inference:
        """Another model, with the settings that this process started with."""
        if given.problem is not None:
            raise ModelError(str(in_safe_mode(given.problem)), active.NOT_ACTIVATED)
        network = given.load(loading.with_model(settings, name))
        return loading.inference_of(settings, network, given.clock, path.admission, given.decoder)

    return Activation(
        detector=path.detector,
        load=load_other,
        max_side=settings.flow.max_side,
        clock=given.clock,
        room_bytes=Room(),
    )


def _predict_from(book: CameraBook) -> PredictAnswer:
    """What the tracks of a camera predict; nothing while tracks are off."""

    def predict(name: str, at_s: float) -> Detected | None:
        camera = book.get(name)
        if camera is not None and camera.tracks is not None:
            with optional("a predicted answer", name):
                return camera.tracks.predicted(at_s)
        return None

    return predict
