"""Which kernel an engine is, as far as no kernel is needed to tell."""

import json
import sys

import pytest
from jupyter_client.kernelspec import KernelSpec

from pxkernel.errors import ClusterError
from pxkernel.kernels import spec as kernelspec
from pxkernel.kernels.spec import FORK_SERVER, LOCAL, OneKernelSpec, choose_provisioner, find, is_engine


def ipykernel(python="python", **more):
    argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    return {"argv": argv, "display_name": "x", "language": "python", **more}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install kernelspecs where Jupyter looks first."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))

    def install(name, **spec):
        directory = tmp_path / "kernels" / name
        directory.mkdir(parents=True)
        (directory / "kernel.json").write_text(json.dumps(spec))

    return install


# ---- find


def test_a_kernelspec_is_found_by_name(install):
    install("mine", **ipykernel(env={"A": "1"}))
    assert find("mine").env == {"A": "1"}


def test_a_kernel_that_a_signal_would_end_is_interrupted_by_a_message(install):
    deno = {"argv": ["/bin/deno", "jupyter", "--kernel", "--conn", "{connection_file}"], "display_name": "x", "language": "ts"}
    install("other", **deno)
    install("mine", **ipykernel())
    assert find("other").interrupt_mode == "message" and find("mine").interrupt_mode == "signal"


def test_a_kernelspec_that_does_not_exist(install):
    install("mine", **ipykernel())
    with pytest.raises(ClusterError, match="no kernelspec 'other'.*mine"):
        find("other")


def test_without_a_name_it_is_this_interpreter(install):
    install("python3", **ipykernel("/somewhere/else/python"))
    assert find(None).argv[0] == sys.executable


def test_without_a_name_the_environment_of_its_kernelspec_counts(install):
    install("python3", **ipykernel(env={"A": "1"}))
    assert find(None).env == {"A": "1"}


def test_without_a_name_and_without_any_kernelspec(monkeypatch):
    def nothing(self, name):
        raise kernelspec.NoSuchKernel(name)

    monkeypatch.setattr(kernelspec.KernelSpecManager, "get_kernel_spec", nothing)
    assert is_engine(find(None))


# ---- is_engine


@pytest.mark.parametrize("module", ["ipykernel_launcher", "ipykernel"])
def test_ipykernel_is_an_engine(module):
    assert is_engine(KernelSpec(argv=["python", "-m", module, "-f", "{connection_file}"], language="python"))


@pytest.mark.parametrize(
    "argv, language", [(["python", "-m", "xeus"], "python"), (["R", "ipykernel"], "R"), ([], "python")]
)
def test_other_kernels_only_run_cells(argv, language):
    assert not is_engine(KernelSpec(argv=argv, language=language))


# ---- choose_provisioner


def chosen(spec, wanted):
    choose_provisioner(spec, wanted)
    return spec.metadata["kernel_provisioner"]["provisioner_name"]


@pytest.mark.parametrize("platform, name", [("linux", FORK_SERVER), ("darwin", LOCAL), ("win32", LOCAL)])
def test_the_default_provisioner(monkeypatch, platform, name):
    monkeypatch.setattr(sys, "platform", platform)
    assert chosen(KernelSpec(), None) == name


@pytest.mark.parametrize("wanted, name", [("local", LOCAL), ("forkserver", FORK_SERVER), ("slurm", "slurm")])
def test_the_provisioner_that_the_user_wants(wanted, name):
    assert chosen(KernelSpec(metadata={"kernel_provisioner": {"provisioner_name": "own"}}), wanted) == name


def test_the_provisioner_of_the_kernelspec():
    assert chosen(KernelSpec(metadata={"kernel_provisioner": {"provisioner_name": "own"}}), None) == "own"


def test_other_metadata_stay():
    spec = KernelSpec(metadata={"debugger": True})
    choose_provisioner(spec, None)
    assert spec.metadata["debugger"] is True


def test_a_kernel_manager_gets_the_kernelspec_that_was_chosen():
    spec = KernelSpec()
    assert OneKernelSpec(chosen=spec).get_kernel_spec("whatever") is spec
