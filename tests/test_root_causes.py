"""The root cause of failures of tools whose real outputs are not in data/outputs, as those tools print them.

Written from knowledge of the tools; `data/outputs` has outputs of really failing ones.
"""

from __future__ import annotations

import pytest

from rekall.evidence import question
from rekall.printed import plain_lines

# Tool → its output, and what stands in the line that is asked about first.
FAILED = {
    'ghc': ('[1 of 2] Compiling Lib  ( src/Lib.hs, Lib.o )\n\nsrc/Lib.hs:12:5: error: [GHC-88464]\n    Variable not in scope: fooBar :: Int -> Int\n   |\n12 |     fooBar 3\n   |     ^^^^^^', 'error: [GHC-88464] Variable not in scope'),
    'elixir': ('Compiling 3 files (.ex)\n\n== Compilation error in file lib/app.ex ==\n** (CompileError) lib/app.ex:4: undefined function foo/1\n    (elixir 1.14.0) src/elixir.erl:1', '** (CompileError)'),
    'elixir2': ('** (FunctionClauseError) no function clause matching in Enum.map/2\n    (elixir 1.14) lib/enum.ex:1: Enum.map', '** (FunctionClauseError)'),
    'sbt': ('[info] compiling 1 Scala source to /x/target ...\n[error] /x/src/main/scala/A.scala:3:9: not found: value foo\n[error]   val x = foo\n[error]           ^\n[error] one error found\n[error] (Compile / compileIncremental) Compilation failed\n[error] Total time: 3 s', 'not found: value foo'),
    'gradle': ("> Task :app:compileKotlin FAILED\ne: /x/src/Main.kt: (3, 5): Unresolved reference: foo\n\nFAILURE: Build failed with an exception.\n\n* What went wrong:\nExecution failed for task ':app:compileKotlin'.\n> Compilation error. See log for more details\n\n* Try:\n> Run with --stacktrace\n\nBUILD FAILED in 2s", 'Unresolved reference'),
    'gradle2': ("FAILURE: Build failed with an exception.\n\n* What went wrong:\nA problem occurred configuring root project 'demo'.\n> Could not resolve all files for configuration ':classpath'.\n   > Could not find com.android.tools.build:gradle:9.9.\n\n* Try:\n> Run with --info\nBUILD FAILED in 1s", 'Could not'),
    'swift': ("Building for debugging...\n/x/Sources/main.swift:3:5: error: cannot find 'foo' in scope\n    foo()\n    ^~~\nerror: fatalError", "cannot find 'foo' in scope"),
    'composer': ('Your requirements could not be resolved to an installable set of packages.\n\n  Problem 1\n    - Root composer.json requires php ^8.2 but your php version (8.1.2) does not satisfy that requirement.', 'Your requirements could not'),
    'php': ('PHP Fatal error:  Uncaught Error: Call to undefined function foo() in /x/a.php:3\nStack trace:\n#0 {main}\n  thrown in /x/a.php on line 3', 'Uncaught Error: Call to undefined function'),
    'perl': ('Can\'t locate object method "foo" via package "Bar" at x.pl line 3.', "Can't locate object method"),
    'perl2': ('Global symbol "$x" requires explicit package name (did you forget to declare "my $x"?) at x.pl line 3.\nExecution of x.pl aborted due to compilation errors.', 'Global symbol'),
    'R': ('> library(foo)\nError in library(foo) : there is no package called ‘foo’\nExecution halted', 'Error in library(foo)'),
    'julia': ('ERROR: LoadError: UndefVarError: foo not defined\nStacktrace:\n [1] top-level scope\n   @ ~/x.jl:3\nin expression starting at /x/x.jl:3', 'UndefVarError'),
    'latex': ('This is pdfTeX\n(./x.tex\n! Undefined control sequence.\nl.5 \\foo\n        bar\nNo pages of output.', '! Undefined control sequence'),
    'latex2': ("! LaTeX Error: File `foo.sty' not found.\n\nType X to quit or <RETURN> to proceed", 'LaTeX Error: File'),
    'terraform': ('╷\n│ Error: Unsupported argument\n│ \n│   on main.tf line 3, in resource "aws_instance" "x":\n│    3:   foo = 1\n│ \n│ An argument named "foo" is not expected here.\n╵', 'Unsupported argument'),
    'ansible': ('TASK [install] ****\nfatal: [web1]: FAILED! => {"changed": false, "msg": "No package matching \'foo\' is available"}\n\nPLAY RECAP ***\nweb1 : ok=1 changed=0 unreachable=0 failed=1', 'fatal: [web1]: FAILED!'),
    'webpack': ("ERROR in ./src/index.js 1:0-24\nModule not found: Error: Can't resolve './foo' in '/x/src'\nwebpack 5.1 compiled with 1 error in 200 ms", 'Module not found'),
    'eslint': ("/x/a.js\n  3:5  error  'foo' is not defined  no-undef\n\n✖ 1 problem (1 error, 0 warnings)", "'foo' is not defined"),
    'jest': ('FAIL src/a.test.js\n  ● adds\n\n    expect(received).toBe(expected) // Object.is equality\n\n    Expected: 3\n    Received: 4\n\n      at Object.<anonymous> (src/a.test.js:3:5)\n\nTests:       1 failed, 2 passed, 3 total', 'expect(received)'),
    'tsc': ("src/a.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.\nFound 1 error.", 'error TS2322'),
    'bazel': ("ERROR: /x/BUILD:3:1: no such target '//foo:bar': target 'bar' not declared in package 'foo'\nERROR: Analysis of target '//a:b' failed; build aborted\nINFO: Elapsed time: 0.1s\nFAILED: Build did NOT complete successfully", 'no such target'),
    'go': ('# example.com/x\n./main.go:5:2: undefined: foo\n./main.go:6:9: cannot use "a" (untyped string constant) as int value in return statement', 'undefined: foo'),
    'gomod': ('go: example.com/x@v1.0.0: reading example.com/x/go.mod at revision v1.0.0: unknown revision v1.0.0', 'unknown revision'),
    'gopanic': ('panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x1]\n\ngoroutine 1 [running]:\nmain.main()\n\t/x/main.go:3 +0x1\nexit status 2', 'panic: runtime error'),
    'mysql': ("ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)", 'ERROR 1045'),
    'mongo': ('MongoServerError: E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: "a@b.c" }', 'E11000'),
    'django': ('Traceback (most recent call last):\n  File "/x/manage.py", line 3, in <module>\n    main()\ndjango.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty.', 'ImproperlyConfigured'),
    'dotnet': ("/x/Program.cs(3,9): error CS0103: The name 'foo' does not exist in the current context [/x/x.csproj]\n\nBuild FAILED.\n    0 Warning(s)\n    1 Error(s)", 'error CS0103'),
    'dotnetrt': ('Unhandled exception. System.NullReferenceException: Object reference not set to an instance of an object.\n   at Program.Main() in /x/Program.cs:line 3', 'NullReferenceException'),
    'ruby': ("a.rb:3:in `foo': undefined local variable or method `bar' for main:Object (NameError)\n\tfrom a.rb:6:in `<main>'", 'undefined local variable'),
    'bundler': ("Could not find gem 'foo (~> 1.0)' in rubygems repository https://rubygems.example/ or installed locally.", 'Could not find gem'),
    'rspec': ('Failures:\n\n  1) Foo adds\n     Failure/Error: expect(1).to eq(2)\n\n       expected: 2\n            got: 1\n\nFinished in 0.01 seconds\n1 example, 1 failure', 'Failure/Error'),
    'rails': ('ActiveRecord::PendingMigrationError: Migrations are pending. To resolve this issue, run: bin/rails db:migrate RAILS_ENV=test', 'PendingMigration'),
    'flutter': ("lib/main.dart:3:5: Error: The getter 'foo' isn't defined for the class 'Bar'.\n - 'Bar' is from 'package:x/main.dart'.\nFAILURE: Build failed with an exception.", 'The getter'),
    'zig': ("src/main.zig:3:5: error: use of undeclared identifier 'foo'\n    foo();\n    ^~~", 'use of undeclared'),
    'ocaml': ('File "a.ml", line 3, characters 4-7:\n3 |     foo\n        ^^^\nError: Unbound value foo', 'Unbound value'),
    'erlang': ('a.erl:3:5: function foo/1 undefined\n', 'function foo/1 undefined'),
    'lua': ("lua: a.lua:3: attempt to call a nil value (global 'foo')\nstack traceback:\n\ta.lua:3: in main chunk", 'attempt to call a nil value'),
    'nginx': ('nginx: [emerg] unknown directive "foo" in /etc/nginx/nginx.conf:3\nnginx: configuration file /etc/nginx/nginx.conf test failed', 'unknown directive'),
    'k8s': ('Error from server (Forbidden): pods is forbidden: User "x" cannot list resource "pods" in API group ""', 'Error from server'),
    'k8sdescribe': ('Events:\n  Type     Reason     Age   From     Message\n  Warning  Failed     3s    kubelet  Failed to pull image "x:1": rpc error: code = NotFound desc = failed to pull', 'Failed to pull image'),
    'redis': ('(error) WRONGTYPE Operation against a key holding the wrong kind of value', 'WRONGTYPE'),
    'yarn': ('yarn install v1.22\n[1/4] Resolving packages...\nerror An unexpected error occurred: "https://x/foo: Not found".\ninfo If you think this is a bug', 'An unexpected error occurred'),
    'pnpm': (' ERR_PNPM_NO_MATCHING_VERSION  No matching version found for foo@9.9.9', 'ERR_PNPM'),
    'poetry': ("\nBecause x depends on foo (^9) which doesn't match any versions, version solving failed.", 'version solving failed'),
    'conda': ('PackagesNotFoundError: The following packages are not available from current channels:\n\n  - foo', 'PackagesNotFoundError'),
    'cargo_link': ('error: linking with `cc` failed: exit status: 1\n  |\n  = note: /usr/bin/ld: cannot find -lssl\n          collect2: error: ld returned 1 exit status\n\nerror: could not compile `x` (bin "x") due to 1 previous error', 'cannot find -lssl'),
    'msbuild': ('C:\\x\\a.csproj : error NU1101: Unable to find package Foo. No packages exist with this id in source(s): x', 'error NU1101'),
    'helm': ('Error: INSTALLATION FAILED: cannot re-use a name that is still in use', 'cannot re-use a name'),
    'vite': ('error during build:\nRollupError: Could not resolve "./foo" from "src/main.ts"', 'Could not resolve'),
    'gitlab': ("fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate in certificate chain", 'SSL certificate problem'),
    'vagrant': ("The provider 'virtualbox' that was requested to back the machine 'default' is reporting that it isn't usable on this system.", "isn't usable"),
    'java_oom': ('Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n\tat X.main(X.java:3)', 'OutOfMemoryError'),
    'spring': ('***************************\nAPPLICATION FAILED TO START\n***************************\n\nDescription:\n\nWeb server failed to start. Port 8080 was already in use.', 'Port 8080'),
    'nix': ("error: attribute 'foo' missing\n       at /x/flake.nix:3:5:", 'attribute'),
    'asm': ("a.s: Assembler messages:\na.s:3: Error: no such instruction: `foo %eax'", 'no such instruction'),
    'cuda': ('RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB (GPU 0; 8.00 GiB total capacity)', 'CUDA out of memory'),
}  # fmt: skip
FINE = [
    'Build succeeded.\n    0 Warning(s)\n    0 Error(s)',
    'Tests: 12 passed, 0 failed\nerrors: 0',
    '[100%] Linking CXX executable error_handler\n[100%] Built target error_handler',
    'ok  \texample.com/errors\t0.003s',
    'test result: ok. 3 passed; 0 failed; 0 ignored',
    'PASS src/errors.test.js\n  ✓ throws an error on failure (3 ms)\nTests: 1 passed, 1 total',
    'found 0 vulnerabilities\nadded 3 packages, and audited 4 packages in 1s',
    'checking for error.h... yes\nchecking whether strerror is declared... yes',
    'Compiling failure v0.1.8\n   Compiling thiserror v1.0\n    Finished dev [unoptimized] target(s) in 1s',
    'Successfully installed exceptiongroup-1.1 errorhandler-0.1',
    '2026-01-01 INFO  ErrorController - registered\n2026-01-01 INFO started',
    '0 errors, 0 warnings generated\nno issues found',
    'All checks passed!\nSuccess: no issues found in 12 source files',
    'DEBUG retry after error=None status=200',
    '-- Looking for error_at_line - found',
    'Installing error-stack-parser (2.1.4)\nDone in 1.2s',
    '==> Pouring libgpg-error--1.47.bottle.tar.gz\n🍺  /x: 48 files',
    'Fetched 12 errors-docs pages\nDone',
    'remote: Counting objects: 3, done.\nTo x\n   a..b  main -> main',
    '0 failures, 12 tests\nFinished in 0.1s',
    'Refresh complete! state.errors_total 0',
    'PLAY RECAP\nweb1 : ok=3 changed=0 unreachable=0 failed=0 skipped=1',
]  # fmt: skip


@pytest.mark.parametrize("tool", FAILED)
def test_the_root_cause_is_asked_about_first(tool: str) -> None:
    output, cause = FAILED[tool]
    assert cause in question(plain_lines(output.encode())).asked[0][0].text


@pytest.mark.parametrize("output", FINE)
def test_nothing_is_asked_about_a_success(output: str) -> None:
    assert question(plain_lines(output.encode())).asked == []
