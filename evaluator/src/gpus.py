"""GPUs: what the GPU driver offers, asked through libcuda alone.

As a program it prints the GPUs of this machine as one JSON object. The judge runs it before any jail exists: the first use
of CUDA makes device files and loads kernel modules, which no jail allows. As a module it tells whether a child can make
a context in its jail. Neither needs torch.

    {"gpus": [{"name": NAME, "uuid": UUID, "driver": VERSION, "files": [PATH]}], "folders": [FOLDER], "error": TEXT | null}
`files` are the device files of that GPU, and those that all GPUs share; `folders` hold the driver's libraries. There is no
error where nothing looks like a GPU: neither a device file nor a driver that fails.
"""

import contextlib
import ctypes
import glob
import json
import os

LIBRARY = "libcuda.so.1"
# Shared by all GPUs of NVIDIA's driver, and the only device of Windows' subsystem for Linux.
SHARED_FILES = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/dxg")
OWN_FILES = "/dev/nvidia[0-9]*"
# Only where one GPU is cut into several; each slice has a file here that opens it.
SLICES = "/proc/driver/nvidia/capabilities/gpu{minor}/mig/gi*/**/access"
SLICE_FILE = "/dev/nvidia-caps/nvidia-cap{minor}"
INFORMATION = "/proc/driver/nvidia/gpus/{bus}/information"
DRIVER_VERSION = "/sys/module/nvidia/version"
TEXT = 128
NO_DEVICE = 100


class CudaError(Exception):
    """A function of the driver failed, with a code."""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


class Driver:
    """The driver's library, initialised."""

    def __init__(self):
        self.library = ctypes.CDLL(LIBRARY)
        self.call("cuInit", 0)

    def call(self, name, *arguments):
        result = getattr(self.library, name)(*arguments)
        if result != 0:
            raise CudaError(f"{name}: {self.describe(result)}", result)

    def number(self, name, *arguments):
        """Returns the number that a function stores."""
        value = ctypes.c_int()
        self.call(name, ctypes.byref(value), *arguments)
        return value.value

    def text(self, name, *arguments):
        value = ctypes.create_string_buffer(TEXT)
        self.call(name, value, TEXT, *arguments)
        return value.value.decode(errors="replace")

    def describe(self, result):
        name = ctypes.c_char_p()
        self.library.cuGetErrorName(result, ctypes.byref(name))
        return f"{name.value.decode() if name.value else 'error'} ({result})"

    def device(self, number):
        return self.number("cuDeviceGet", number)

    def gpu(self, number):
        device = self.device(number)
        name = self.text("cuDeviceGetName", device)
        # A slice of a GPU is named after its profile, such as "NVIDIA H200 MIG 1g.18gb".
        is_slice = " MIG " in name
        files = device_files(self.text("cuDeviceGetPCIBusId", device), is_slice)
        return {"name": name, "uuid": self.uuid(device, is_slice), "driver": self.version(), "files": files}

    def uuid(self, device, is_slice):
        """Returns the name by which CUDA_VISIBLE_DEVICES selects a device."""
        room = (ctypes.c_ubyte * 16)()
        self.call("cuDeviceGetUuid_v2", ctypes.byref(room), device)
        digits = bytes(room).hex()
        parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
        return ("MIG-" if is_slice else "GPU-") + "-".join(parts)

    def version(self):
        cuda = self.number("cuDriverGetVersion")
        cuda = f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"
        with contextlib.suppress(OSError), open(DRIVER_VERSION, encoding="ascii") as version:
            return f"{version.read().strip()}, {cuda}"
        return cuda


def device_files(bus, is_slice):
    """Returns the device files of the GPU at an address of the PCI bus that exist."""
    minor = minor_of(bus)
    own = [f"/dev/nvidia{minor}"] if minor is not None else sorted(glob.glob(OWN_FILES))
    slices = slice_files(minor) if is_slice else []
    return [path for path in (*SHARED_FILES, *own, *slices) if os.path.exists(path)]


def minor_of(bus):
    """Returns the number in the name of a GPU's device file; None where the driver does not tell."""
    with contextlib.suppress(OSError), open(INFORMATION.format(bus=bus.lower()), encoding="utf-8") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name == "Device Minor":
                return int(value)
    return None


def slice_files(minor):
    """Returns the files that open the slices of a GPU."""
    paths = glob.glob(SLICES.format(minor="*" if minor is None else minor), recursive=True)
    found = []
    for path in sorted(paths):
        with open(path, encoding="ascii") as lines:
            numbers = [line.split()[1] for line in lines if line.startswith("DeviceFileMinor:")]
        found += [SLICE_FILE.format(minor=number) for number in numbers]
    return found


def folders():
    """Returns the folders of the driver's libraries, under all their names: those that this process has loaded."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/")}
    return sorted({os.path.dirname(path) for path in paths if "/libcuda" in path or "/libnvidia" in path or "/libdx" in path})


def look():
    """Returns what this machine offers."""
    try:
        driver = Driver()
        gpus = [driver.gpu(number) for number in range(driver.number("cuDeviceGetCount"))]
    except (OSError, AttributeError, CudaError) as error:
        is_unexpected = any(map(os.path.exists, SHARED_FILES)) or isinstance(error, CudaError) and error.code != NO_DEVICE
        return {"gpus": [], "folders": [], "error": str(error) if is_unexpected else None}
    return {"gpus": gpus, "folders": folders(), "error": None}


def make_context():
    """Makes a context on the first GPU that this process sees, and uses it.

    Raises OSError without the driver's library, CudaError where the driver fails.
    """
    driver = Driver()
    context, place = ctypes.c_void_p(), ctypes.c_void_p()
    driver.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), driver.device(0))
    driver.call("cuCtxSetCurrent", context)
    driver.call("cuMemAlloc_v2", ctypes.byref(place), ctypes.c_size_t(4))
    driver.call("cuMemsetD32_v2", place, 0, ctypes.c_size_t(1))
    driver.call("cuCtxSynchronize")


if __name__ == "__main__":
    print(json.dumps(look()))
