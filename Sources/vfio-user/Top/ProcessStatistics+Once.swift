import VFIOUserProgram

extension ProcessStatistics {
  /// Leaves out processes whose devices a supervisor among them has told already.
  static func once(_ answers: [ProcessStatistics]) -> [ProcessStatistics] {
    let supervised = Set(answers.flatMap(\.devices).compactMap(\.process))
    return answers.filter { !supervised.contains($0.process) }
  }
}
