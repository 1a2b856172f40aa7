FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /app

# In a layer of their own: they change far less often than the code.
COPY requirements.txt ./
RUN pip install -r requirements.txt

# The service reads its code and writes to /data, its workers a heartbeat to /tmp. A named volume takes over owner and
# mode of this folder. The user is named by number below, so that whoever forbids root can see that it is not root.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin bridge \
    && install -d -o bridge -g bridge -m 0700 /data
COPY gunicorn.conf.py wsgi.py ./
COPY app ./app

ENV DATA_DIR=/data \
    HOST=0.0.0.0 \
    PORT=8000
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000

# Without proxies: HTTP_PROXY is meant for GitHub, not for a look at ourselves.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:' + (os.environ.get('PORT') or '8000') + '/livez', timeout=4)"]

CMD ["python", "-m", "app.serving"]
