"""eSpeak NG by its C interface, from the package espeakng-loader.

As a program it reads lines "voice TAB speed TAB pitch TAB text" and writes all sounds to the file that it is given. A
process of its own keeps the synthesiser, whose licence is the GPL, and its state out of ours.
"""

import ctypes
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RETRIEVAL, _UTF8, _RATE, _PITCH = 1, 1, 1, 3  # of speak_lib.h: AUDIO_OUTPUT_RETRIEVAL, espeakCHARS_UTF8, parameters


class Synthesiser:
    """Speaks texts.

    Raises:
        RuntimeError: the library does not begin.
    """

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate = int(self._library.espeak_Initialize(_RETRIEVAL, 0, ctypes.c_char_p(data), 0))
        if self.rate <= 0:
            raise RuntimeError("eSpeak NG does not begin")
        self._parts: list[NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._take)  # kept, for the library calls it
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, text: str, voice: str, speed: int, pitch: int) -> NDArray[np.int16]:
        """The samples of a text.

        Args:
            text: the text.
            voice: its name, such as "en-us+f2".
            speed: words a minute.
            pitch: from 0 to 99.

        Raises:
            ValueError: there is no such voice, or the text cannot be spoken.
        """
        self._parts.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"eSpeak NG has no voice {voice}")
        self._library.espeak_SetParameter(_RATE, speed, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        content = text.encode()
        size = ctypes.c_size_t(len(content) + 1)
        if self._library.espeak_Synth(content, size, 0, 0, 0, _UTF8, None, None) != 0:
            raise ValueError(f"eSpeak NG cannot speak {text!r}")
        self._library.espeak_Synchronize()
        if not self._parts:
            raise ValueError(f"eSpeak NG says nothing for {text!r}")
        return np.concatenate(self._parts)


def main(file: str) -> None:
    """Speaks the lines of standard input, in their order."""
    synthesiser = Synthesiser()
    sounds = []
    for line in sys.stdin:
        voice, speed, pitch, text = line.rstrip("\n").split("\t")
        sounds.append(synthesiser.say(text, voice, int(speed), int(pitch)))
    starts = np.cumsum([0, *map(len, sounds)])
    np.savez(file, values=np.concatenate(sounds), starts=starts, rate=synthesiser.rate)


if __name__ == "__main__":
    main(sys.argv[1])
