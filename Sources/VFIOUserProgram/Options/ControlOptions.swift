package import ArgumentParser

/// Where the process can be asked for something while it serves.
package struct ControlOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A UNIX socket to create, by which `vfio-user ctl` and `vfio-user top` ask this process (mode 0600).",
      valueName: "path"), completion: .file())
  package var control: String?

  package init() {}
}
