#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_build
short_description: Build all that a cluster without internet needs
version_added: 1.1.0
description:
  - Builds one folder of programs, Debian packages and container images, with a CycloneDX document that lists each with version, origin and SHA-256.
  - Programs are compiled from Go modules that C(go.sum) files pin; packages come from apt, which verifies them; images from Dockerfiles by buildah.
  - Each step is kept in a cache by the hash of all that it reads, so another run does what changed, and one after an interrupted run the rest.
  - Tells each step's start, end and seconds while it runs.
  - Runs on the controller, whatever the task's host is; root is not needed.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  dest:
    description:
      - The folder to make.
      - One that is there is replaced when the new one is complete.
      - Without it, one of O(archive) and O(registry) gets the images alone.
    type: path
  archive:
    description:
      - A tar of the images to write, which Docker, Podman, containerd and minikube load.
      - Without O(dest) only. Names begin with what O(registry) says; nothing is sent there.
    type: path
  registry:
    description: A registry to push the images to, by C(skopeo). Only what it lacks is sent.
    type: dict
    suboptions:
      address:
        description: Its host, with a port and a folder if need be. It has to speak TLS.
        type: str
        required: true
      username:
        description: Who may push there. Without one, the credentials of O(registry.auth_file) are taken.
        type: str
        default: ""
      password:
        description: The password of O(registry.username).
        type: str
        default: ""
      auth_file:
        description: A file of credentials such as C(podman login) writes, by default that of this user.
        type: path
        default: ""
      ca_file:
        description: The certificate of the authority that signed the registry's, where the system does not know it.
        type: path
        default: ""
  cache:
    description: Folder of what is kept from one run to the next.
    type: path
    required: true
  files:
    description: Folder with a module's C(go/NAME/go.mod) and C(go.sum), and images' C(images/NAME/Dockerfile).
    type: path
    required: true
  suite:
    description: Codename of the hosts' Debian, which images are based on.
    type: str
    default: bookworm
  apt_sources:
    description:
      - Lines of a sources.list to take Debian from.
      - By default those of this machine's that have the suite's component main.
    type: list
    elements: str
    default: []
  packages:
    description: Debian packages that hosts need; what these depend on and a minimal host lacks is taken, too.
    type: list
    elements: str
    default: []
  go_modules:
    description: Programs to compile from Go modules.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The folder of its C(go.mod) below O(files).
        type: str
        required: true
      module:
        description: The module; the version that C(go.mod) requires of it is the programs' version.
        type: str
        required: true
      ldflags:
        description: More for go's option C(-ldflags). C({version}), C({number}), C({major}) and C({minor}) are replaced.
        type: str
        default: ""
      tags:
        description: Build tags.
        type: list
        elements: str
        default: []
      cgo:
        description: Whether it needs a C compiler.
        type: bool
        default: false
      weight:
        description: The seconds that it takes, about. Steps that take longest begin first.
        type: int
        default: 10
      programs:
        description: What to compile.
        type: list
        elements: dict
        required: true
        suboptions:
          name:
            description: The program's name.
            type: str
            required: true
          package:
            description: Its package, in the module or in full. By default the module itself.
            type: str
          check:
            description: Arguments with which it says its version, by default C(--version). One that says another version is refused.
            type: list
            elements: str
          folder:
            description: Where it lies in the bundle. By default it is only for images.
            type: str
            choices: [bin, cni]
  c_programs:
    description: Programs to compile, static, from one C file of a Go module.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The program's name.
        type: str
        required: true
      go_module:
        description: The entry of O(go_modules) whose C(go.mod) requires the module.
        type: str
        required: true
      module:
        description: The module.
        type: str
        required: true
      source:
        description: The C file in the module.
        type: str
        required: true
      version:
        description: The program's version.
        type: str
        required: true
      defines:
        description: Macros to define.
        type: dict
        default: {}
      check:
        description: Arguments with which it says its version.
        type: list
        elements: str
        required: true
  wheels:
    description: Wheels for images of Python programs, each set unpacked into a folder C(wheels-NAME), which images may have as contents.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The set's name.
        type: str
        required: true
      requirements:
        description: A requirements file in which all are locked by hashes. They are chosen for the suite's Python, whatever this machine's is.
        type: path
        required: true
      base:
        description: A requirements file whose packages the image's base has already.
        type: path
      built_with:
        description:
          - A requirements file that locks C(setuptools), for packages of Python alone that have no wheels. They are built on this machine.
        type: path
      only:
        description: The packages to take; by default all.
        type: list
        elements: str
        default: []
      omit:
        description: Packages to leave out.
        type: list
        elements: str
        default: []
      exclude:
        description: Patterns of files to leave out.
        type: list
        elements: str
        default: []
      strip:
        description: Patterns of libraries to take debuggers' symbols from.
        type: list
        elements: str
        default: []
  jars:
    description: Jars for images of Java programs, each set in a folder C(jars-NAME), which images may have as contents.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The set's name.
        type: str
        required: true
      lock:
        description: A YAML file whose C(maven_artifacts) lists group, artifact, version and SHA-256 of each.
        type: path
        required: true
  models:
    description: Models for images, each set made by a Python program in a folder C(models-NAME), which images may have as contents.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The set's name.
        type: str
        required: true
      requirements:
        description: Requirements files, locked by hashes, of what the program imports and of what it finds the models in.
        type: list
        elements: path
        required: true
      sources:
        description: Folders of its packages.
        type: list
        elements: path
        required: true
      module:
        description: The module that is run with the folder to write as its argument.
        type: str
        required: true
  maven_repository:
    description:
      - The Maven repository to fetch jars from.
      - The default is that of M(community.general.maven_artifact).
    type: str
  images:
    description: Container images to build, each after the one that it is based on.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Its public name, with the registry's host.
        type: str
        required: true
      tag:
        description: Its tag. C({version}), C({number}), C({major}) and C({minor}) are those of the first of its contents.
        type: str
        default: "{version}"
      context:
        description: Folder with its Dockerfile. By default C(images/) with the last part of its name, below O(files).
        type: path
      base:
        description: The image of this list that its Dockerfile starts from, given to it as the build argument C(BASE).
        type: str
        default: ""
      args:
        description: More build arguments.
        type: dict
        default: {}
      sources:
        description: More files and folders to put beside its Dockerfile.
        type: list
        elements: path
        default: []
      contents:
        description: Programs, folders of wheels or jars, or C(rootfs.tar), a minimal Debian, that are put beside its Dockerfile.
        type: list
        elements: str
        default: []
      packages:
        description: Debian packages that C(packages/install) beside its Dockerfile installs.
        type: list
        elements: str
        default: []
      publish:
        description: Whether it is part of the bundle, and not just what others are based on.
        type: bool
        default: true
  timestamp:
    description: The time, in seconds since 1970, of all files in images and in the tar, so that they are reproducible.
    type: int
    default: 0
  refresh:
    description: Whether to take Debian's packages as they are today, instead of as they were when they were fetched.
    type: bool
    default: false
  tar:
    description: Whether to write a tar of the folder beside it.
    type: bool
    default: true
  jobs:
    description: How many steps run at the same time. Each compilation uses all processors by itself.
    type: int
    default: 3
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Build a bundle of one program and its image
  cctv.pipeline.bundle_build:
    dest: ~/.local/share/example/bundle
    cache: ~/.cache/example
    files: "{{ role_path }}/files"
    packages: [runc]
    go_modules:
      - name: coredns
        module: github.com/coredns/coredns
        programs:
          - name: coredns
            check: [-version]
    images:
      - name: registry.k8s.io/coredns/coredns
        contents: [coredns]
"""

RETURN = r"""
steps:
  description: The steps that were done, or would be in check mode.
  returned: success
  type: list
  elements: str
step_seconds:
  description: How long each of them took.
  returned: when something was done
  type: dict
seconds:
  description: How long all took.
  returned: success
  type: float
"""
