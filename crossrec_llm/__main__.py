from crossrec_llm.cli.main import run

if __name__ == "__main__":
    run()
