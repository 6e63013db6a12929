import Configuration
import Diagnostics
import Platform
import Testing

@Suite("Wrong configurations are refused with place and remedy")
struct RefusalTests {
    /// The messages of the error that reading must throw.
    private func refusal(
        _ text: String,
        overrides: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) -> [String] {
        let error = #expect(throws: ConfigurationError.self, sourceLocation: sourceLocation) {
            try RunConfiguration.parse(text, file: "c.yaml", overrides: overrides)
        }
        #expect(error?.exitStatus == .badConfiguration, sourceLocation: sourceLocation)
        return error?.description.split(separator: "\n").map(String.init) ?? []
    }

    @Test func unknownKeysNameLineColumnAndNearestKey() {
        #expect(
            refusal("# a comment\nprecision: fp32\noptimiser:\n  name: adam\n") == [
                "c.yaml, line 3, column 1: unknown key `optimiser`; did you mean `optimizer`?"
            ]
        )
        #expect(
            refusal("optimizer:\n  name: adam\n  learning_rat: 1\n") == [
                "c.yaml, line 3, column 3: unknown key `learning_rat` in `optimizer`; did you mean `learning_rate`?"
            ]
        )
        #expect(
            refusal("data:\n  folds:\n    vlaidation: [0]\n") == [
                "c.yaml, line 3, column 5: unknown key `vlaidation` in `data.folds`; did you mean `validation`?"
            ]
        )
    }

    /// A file of another kind has thousands: the first of them say so.
    @Test(.timeLimit(.minutes(5))) func problemsAreListedUpToALimit() {
        let text = (0..<90_000).map { "k\($0): 1\n" }.joined()
        let lines = refusal(text)
        #expect(lines.count == 41 && lines[40] == "… and more of the kind; mend these first")
    }

    @Test func aNameIsShortAndPlain() {
        let rule = "must be text of at most 200 bytes without control characters"
        #expect(
            refusal("", overrides: ["run.name=a\tb"]) == ["--set run.name=a\tb: `run.name`: \(rule), found \"a\\tb\""]
        )
        let long = refusal("run: {name: \(String(repeating: "x", count: 3000))}\n")
        #expect(
            long.count == 1 && long[0].contains(rule) && long[0].contains("(3000 bytes)") && long[0].utf8.count < 400
        )
    }

    @Test func aTildeIsTheHomeFolderAndNotAFolder() throws {
        let home = try UserPath.expanded("~")
        #expect(home.hasPrefix("/"))
        let text = "run: {directory: ~/runs}\ndata: {shards: '~'}\n"
        let read = try RunConfiguration.parse(text, file: "c.yaml", overrides: ["security.keys=~/keys"])
        #expect(
            read.run.directory == "\(home)/runs" && read.data.shards == home && read.security.keys == "\(home)/keys"
        )
        let other = refusal("", overrides: ["run.directory=~anna/x"])
        #expect(other.count == 1 && other[0].contains("home folder of another user"), "\(other)")
        #expect(try UserPath.expanded("./~/x") == "./~/x" && UserPath.expanded("a~") == "a~")
    }

    @Test func aKeyInTheWrongSectionIsSentToTheRightOne() {
        #expect(
            refusal("training:\n  learning_rate: 1\n") == [
                "c.yaml, line 2, column 3: unknown key `learning_rate` in `training`; "
                    + "did you mean `optimizer.learning_rate`?"
            ]
        )
    }

    @Test func aKeyThatResemblesNothingGetsTheListOfKeys() {
        #expect(
            refusal("averaging: {zzzzzzzz: 1}\n") == [
                "c.yaml, line 1, column 13: unknown key `zzzzzzzz` in `averaging`; known are ema: see "
                    + "`pleura inspect --fields averaging`"
            ]
        )
    }

    @Test func wrongTypesSayWhatWasFound() {
        #expect(
            refusal("optimizer:\n  learning_rate: fast\n") == [
                "c.yaml, line 2, column 18: `optimizer.learning_rate`: expected a number, found `fast`"
            ]
        )
        #expect(
            refusal("optimizer:\n  learning_rate: \"0.1\"\n") == [
                "c.yaml, line 2, column 18: `optimizer.learning_rate`: expected a number, found the quoted text \"0.1\""
            ]
        )
        #expect(
            refusal("training:\n  epochs: 2.5\n  steps: [1]\n  microbatches:\n") == [
                "c.yaml, line 2, column 11: `training.epochs`: expected a whole number, found `2.5`",
                "c.yaml, line 3, column 10: `training.steps`: expected a whole number, found a list",
                "c.yaml, line 4, column 16: `training.microbatches`: expected a whole number, found nothing",
            ]
        )
        #expect(
            refusal("augmentation: {enabled: yes}\n") == [
                "c.yaml, line 1, column 25: `augmentation.enabled`: expected true or false, found `yes`"
            ]
        )
        #expect(
            refusal("optimizer: {name: adma}\n") == [
                "c.yaml, line 1, column 19: `optimizer.name`: expected one of sgd, adam, adamw, radam, found `adma`; "
                    + "did you mean `adam`?"
            ]
        )
        #expect(
            refusal("optimizer:\n  betas: [0.9, x]\n") == [
                "c.yaml, line 2, column 16: `optimizer.betas`: expected a number, found `x`"
            ]
        )
        #expect(
            refusal("optimizer: adam\n") == [
                "c.yaml, line 1, column 12: `optimizer` has keys of its own (name, learning_rate, momentum, …), "
                    + "found `adam`; write `optimizer: {name: adam}`"
            ]
        )
        #expect(
            refusal("- a\n- b\n") == [
                "c.yaml, line 1, column 1: a configuration has keys of its own (run, precision, memory, …), found a list"
            ]
        )
    }

    @Test(arguments: [
        "optimizer.learning_rate=nan", "optimizer.learning_rate=inf", "optimizer.learning_rate=0x10",
        "optimizer.learning_rate=1e999", "training.epochs=99999999999999999999", "training.epochs=1e3",
    ])
    func numbersThatNoFieldCanHave(override: String) {
        let messages = refusal("", overrides: [override])
        #expect(messages.count == 1)
        #expect(messages.first?.hasPrefix("--set \(override): `") == true)
        #expect(messages.first?.contains("expected a") == true)
    }

    @Test(arguments: [
        ("run.seed=-1", "at least 0"), ("data.size=5000", "0 to 4096"), ("data.channels=2", "1 or 3"),
        ("sampler.positive_share=0", "0.001 to 1"), ("sampler.positive_share_end=1.5", "0.001 to 1"),
        ("augmentation.flip.probability=1.01", "0 to 1"), ("augmentation.affine.rotate=-1", "0 to 180"),
        ("augmentation.gamma.range=[1.2, 0.8]", "two numbers of 0.01 to 100, the smaller first"),
        ("optimizer.learning_rate=0", "above 0, up to 1000"),
        ("optimizer.betas=[0.9]", "two numbers, each 0 to below 1"),
        ("optimizer.betas=[0.9, 1]", "two numbers, each 0 to below 1"), ("averaging.ema=1", "above 0 and below 1"),
        ("averaging.ema=0", "above 0 and below 1"),
        ("schedule.factor=0", "above 0 and below 1"), ("schedule.cycle_growth=0", "1 to 1000"),
        ("schedule.milestones=[3, 3]", "a list of rising numbers of epochs of 1 to 1000000, 100 at most"),
        ("augmentation.clahe.limit=0.5", "1 to 40"),
        ("training.microbatches=0", "1 to 65536"),
        ("training.early_stop_patience=0", "1 to 1000000"), ("checkpoint.keep_last=0", "1 to 1000000"),
        ("checkpoint.every_minutes=1e300", "0 to 1000000"), ("training.epochs=4000000000000000000", "0 to 1000000"),
        ("training.steps=2000000000", "0 to 1000000000"), ("network.base_width=1024", "1 to 512"),
        ("data.folds.validation=[0, 0]", "all or fold numbers of 0 and more, each once"),
        ("data.folds.train=[-1]", "all, rest or fold numbers of 0 and more, each once, at least one"),
        (
            "data.normalisation={mean: 0, std: 0}",
            "imagenet, or one or three numbers each, mean from -1000 to 1000, std from 0.000001 to 1000"
        ),
    ])
    func rangesAreCheckedAndNameTheFlag(override: String, range: String) {
        let messages = refusal("", overrides: [override])
        #expect(messages.count == 1)
        #expect(messages.first?.hasPrefix("--set \(override): `") == true)
        #expect(messages.first?.contains("must be \(range), found ") == true)
    }

    @Test func precisionsAreTwo() {
        #expect(
            refusal("precision: fp16\n") == [
                "c.yaml, line 1, column 12: `precision`: expected one of fp32, bf16, found `fp16`; did you mean `bf16`?"
            ]
        )
    }

    @Test func flagsAreHeldToTheSameRules() {
        #expect(
            refusal("", overrides: ["optimiser.learning_rate=1"]) == [
                "--set optimiser.learning_rate=1: unknown key `optimiser`; did you mean `optimizer`?"
            ]
        )
        #expect(
            refusal("", overrides: ["optimizer.learning_rate.peak=1"]) == [
                "--set optimizer.learning_rate.peak=1: unknown key `peak` in `optimizer.learning_rate`, which is a "
                    + "value and has no keys"
            ]
        )
        #expect(
            refusal("", overrides: ["training.epochs"]) == [
                "--set training.epochs: expected a field, = and a value, as in --set optimizer.learning_rate=1e-4"
            ]
        )
        #expect(
            refusal("", overrides: ["run.name="]) == [
                "--set run.name=: no value after =; write run.name='\"\"' for empty text"
            ]
        )
        #expect(refusal("", overrides: ["training..epochs=1"]).first?.contains("expected a field") == true)
        #expect(refusal("", overrides: ["data.folds.validation=[1"]).first?.contains("not valid YAML") == true)
    }

    @Test func allProblemsAreListedAtOnce() {
        let messages = refusal("optimizer: {name: rmsprop}\nworkerz: 1\n", overrides: ["training.epochs=-1"])
        #expect(messages.count == 3)
    }

    @Test func brokenYAMLNamesItsPlace() {
        let messages = refusal("run:\n  directory: [a\ndata: {}\n")
        #expect(messages.first?.hasPrefix("c.yaml, line ") == true)
        #expect(messages.first?.contains("not valid YAML") == true)
        #expect(
            refusal("run: {seed: 1}\nrun: {seed: 2}\n") == [
                "c.yaml, line 1, column 1: `run` stands twice, again in line 2; keep one"
            ]
        )
    }

    @Test func hintsSayWhatToWrite() {
        #expect(refusal("data: {folds: {validation: 0}}\n").first?.hasSuffix("found `0`; write [0]") == true)
        #expect(refusal("run:\n\tseed: 1\n").first?.contains("a tab indents this line") == true)
        #expect(
            refusal("run:\n  seed: 1\n  name: x\n  seed: 2\n").first?.contains("again in line 4") == true
        )
        #expect(refusal("zzzzzzzz: 1\n").first?.contains("`pleura inspect --fields`") == true)
    }

    @Test(arguments: [
        ("{match: a}", "a list, each {match"), ("[a]", "expected {match"), ("[{rate: 1}]", "needs `match`"),
        ("[{match: []}]", "needs `match`"), ("[{match: ''}]", "needs `match`"),
        ("[{match: a, rat: 1}]", "expected the keys match, rate and decay, found `rat`"),
        ("[{match: a, decay: -1}]", "must be 0 to 1000000, found -1"),
        ("[{match: a, rate: 1e9}]", "must be 0 to 1000000, found"),
        ("[{match: \(String(repeating: "a", count: 201))}]", "200 bytes at most"),
        ("[\([String](repeating: "{match: a}", count: 65).joined(separator: ", "))]", "64 at most"),
    ])
    func groupsOfParametersHaveTheirForm(text: String, message: String) {
        let messages = refusal("optimizer: {groups: \(text)}")
        #expect(messages.count == 1)
        #expect(messages.first?.contains("`optimizer.groups`: ") == true, "\(messages)")
        #expect(messages.first?.contains(message) == true, "\(messages)")
    }

    @Test(arguments: [
        ("{term: dice}", "a list, each {term"), ("[dice]", "expected {term"), ("[{weight: 1}]", "needs `term`"),
        ("[{term: dyce}]", "did you mean `dice`?"), ("[{term: dice, weight: -1}]", "must be 0 to 1000000, found -1"),
        ("[{term: dice, gamma: 1}]", "smoothing, numerator_smoothing, per_image, squared, found `gamma`"),
        ("[{term: dice, per_image: 1}]", "expected true or false"), ("[{term: focal, gamma: 101}]", "must be 0 to 100"),
        ("[{term: dice_two_class, smoothing: 0}]", "must be 1e-12 to 1000000, found 0"),
        ("[{term: dice, output: [a]}]", "the name of an output"),
        ("[\([String](repeating: "{term: dice}", count: 17).joined(separator: ", "))]", "16 at most"),
    ])
    func termsOfTheLossHaveTheirForm(text: String, message: String) {
        let messages = refusal("loss: {terms: \(text)}")
        #expect(messages.count == 1)
        #expect(messages.first?.contains("`loss.terms`: ") == true, "\(messages)")
        #expect(messages.first?.contains(message) == true, "\(messages)")
    }

    @Test(arguments: [
        ("training: {epochs: 0}", "nothing to train"),
        ("loss: {cross_entropy: 0, dice: 0}", "nothing to minimise"),
        ("loss: {terms: [{term: dice, weight: 0}]}", "not all zero"),
        ("loss: {terms: [{term: focal}, {term: focal, gamma: 1}]}", "one gamma"),
        ("optimizer: {name: sgd, nesterov: true, momentum: 0}", "needs `optimizer.momentum`"),
        ("schedule: {name: cosine, minimum: 1}", "is above `optimizer.learning_rate` (0.0003)"),
        ("training: {steps: 10}\nschedule: {warmup_steps: 10}", "leaves nothing of `training.steps` (10)"),
        (
            "training: {early_stop_patience: 3}\nvalidation: {every_epochs: 0}",
            "`training.early_stop_patience` follows the validation"
        ),
        ("schedule: {name: steps}", "`schedule.milestones`: schedule.name is steps, and no epoch is listed"),
        ("schedule: {name: plateau}\nvalidation: {every_epochs: 0}", "follows the validation"),
        ("data: {folds: {train: [0, 1], validation: [1]}}", "fold 1 both trains and validates"),
        ("data: {folds: {validation: all}}", "leaves no fold to train on"),
        ("data: {channels: 1, normalisation: {mean: [0, 0, 0], std: 1}}", "`data.channels` is 1"),
        (
            "network: {architecture: unet-small, options: {dept: 3}}",
            "unet-small has no option `dept`; did you mean `depth`?"
        ),
        (
            "network: {architecture: unet, options: {dept: 3}}",
            "unet has no option `dept`; it has decoder_channels"
        ),
        (
            "network: {architecture: unet-small, options: {depth: 8}}",
            "`depth` must be a whole number, 1 to 7, found 8"
        ),
        (
            "network: {architecture: unet-small, options: {upsampling: cubic}}",
            "`upsampling` must be one of nearest, bilinear, transposed, found cubic"
        ),
        (
            "network: {architecture: unet, options: {decoder_channels: [8]}}",
            "`decoder_channels` must be a list of 5, each a whole number, 1 to 2048, found [8]"
        ),
        (
            "network: {architecture: fpn, options: {dropout: 0.1}}",
            "`dropout` is a field of its own, `network.dropout`"
        ),
        (
            "network: {architecture: deeplabv3plus, encoder: efficientnet-b0}",
            "`network.architecture: deeplabv3plus` takes a resnet, whose last stage can be dilated"
        ),
        (
            "network: {architecture: deeplabv3plus}\ntraining: {microbatch_size: 1}",
            "which takes 2 or more; set `training.microbatch_size`, or `network.normalisation: frozen`"
        ),
        ("workers: {timeouts: {silence_seconds: 1}}", "must be above `workers.heartbeat_seconds` (1)"),
        ("workers: {count: 3, minimum: 4}", "`workers.minimum` (4) must not be above `workers.count` (3)"),
        ("workers: {count: 3, maximum: 2}", "`workers.maximum` (2) must not be below `workers.count` (3)"),
    ])
    func fieldsMustFitEachOther(text: String, message: String) {
        let messages = refusal(text)
        #expect(messages.count == 1)
        #expect(messages.first?.hasPrefix("c.yaml, line ") == true)
        #expect(messages.first?.contains(message) == true)
    }

    @Test(arguments: ["3", "[1]", "{depth: {a: 1}}", "{depth: [[1]]}", "{depth: \"3\"}", "{[1]: 3}"])
    func optionsAreNamesAndValues(text: String) {
        let messages = refusal("network: {architecture: unet-small, options: \(text)}")
        #expect(messages.count == 1)
        #expect(messages.first?.contains("`network.options`: expected ") == true)
    }
}
